// SPDX-License-Identifier: Apache-2.0
import styles from "./brand.module.css";

/** The hexagon is reserved for hosts and for this. */
export function Brand({ size = 22 }: { size?: number }) {
  return (
    <span className={styles["brand"]}>
      <svg width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
        <path d="M12 1.8 21 7v10l-9 5.2L3 17V7z" fill="none" stroke="var(--honey)" strokeWidth="1.8" />
        <path d="M7 13.2c1.7 0 1.7-3 3.3-3s1.6 4 3.3 4 1.7-2.4 3.4-2.4" fill="none" stroke="var(--honey)" strokeWidth="1.8" strokeLinecap="round" />
      </svg>
      Waggle
    </span>
  );
}

export function Hexagon({ size = 15, dashed = false, stroke = "currentColor" }: { size?: number; dashed?: boolean; stroke?: string }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path
        d="M8 1.6 13.6 4.8v6.4L8 14.4 2.4 11.2V4.8z"
        fill="none"
        stroke={stroke}
        strokeWidth="1.5"
        strokeDasharray={dashed ? "2.4 2.4" : undefined}
      />
    </svg>
  );
}
