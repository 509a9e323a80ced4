// SPDX-License-Identifier: Apache-2.0
import styles from "./status-mark.module.css";

/** Red octagon = critical, orange triangle = warning: shape and text say it, colour only repeats it. */
export function StatusMark({ level }: { level: "critical" | "warning" | null }) {
  if (level === null) return null;
  return (
    <>
      <i className={styles[level]} aria-hidden="true" />
      <span className="visually-hidden">{level}: </span>
    </>
  );
}
