// SPDX-License-Identifier: Apache-2.0
import styles from "./simulated.module.css";

/**
 * Beside the name of a host that a simulator made up, wherever it stands: nobody shall look for that machine.
 * @param short where a column is narrow
 */
export function SimulatedBadge({ host, short = false }: { host: { readonly simulated: boolean }; short?: boolean }) {
  if (!host.simulated) return null;
  return (
    <span className={styles["badge"]} title="Made up by the simulator; no such machine exists.">
      {short ? (
        <>
          <span aria-hidden="true">sim</span>
          <span className="visually-hidden">simulated</span>
        </>
      ) : (
        "simulated"
      )}
    </span>
  );
}

/** On every page while some host is simulated. */
export function SimulatedBanner({ hosts }: { hosts: readonly { readonly simulated: boolean }[] | undefined }) {
  const count = hosts?.filter((host) => host.simulated).length ?? 0;
  if (hosts === undefined || count === 0) return null;
  const which =
    count === hosts.length
      ? count === 1
        ? "The only host is"
        : `All ${count} hosts are`
      : `${count} of ${hosts.length} hosts ${count === 1 ? "is" : "are"}`;
  return (
    <p className={styles["banner"]}>
      <b>{which} simulated.</b> Their numbers are made up; fleet totals include them.
    </p>
  );
}
