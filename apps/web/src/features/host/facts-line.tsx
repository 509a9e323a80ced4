// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatBytes, formatMemory, formatRatio } from "@waggle/units";
import { Fragment } from "react";
import { usePanelQuery } from "@/lib/api/hooks";
import type { Host } from "@/lib/api/types";
import styles from "../page.module.css";
import { accountingOf, worstAccounted } from "./accounting";
import { STATE_WORDS } from "./signal-states";

/** Signals named with their reason in the line; the coverage table has them all. */
const NAMED_MAX = 2;

/** What the machine is, what watching it costs, and how far the numbers can be trusted. */
export function HostFactsLine({ host }: { host: Host }) {
  const accounting = usePanelQuery({
    signal: "agent_accounting",
    select: [
      { measure: "counted", aggregate: "sum" },
      { measure: "kernel", aggregate: "sum" },
    ],
    by: ["quantity"],
    limit: 50,
    shape: "total",
    host: host.name,
  });
  const accounted = worstAccounted(accountingOf(accounting.result.data));
  const weak = host.signals.filter((signal) => signal.state !== "exact");
  const { agent } = host;
  return (
    <p className={styles["facts"]}>
      <span>
        kernel <b>{host.kernel || "unknown"}</b>
      </span>
      <span>
        {[host.distro, host.arch, host.cpus === 1 ? "1 core" : `${host.cpus} cores`, formatMemory(host.memoryBytes)]
          .filter((t) => t !== "")
          .join(" · ")}
      </span>
      <span>
        agent {host.agentVersion || "unknown"}: <b>{formatRatio(agent.cpuRatio)}</b> of a core, {formatBytes(agent.rssBytes)},{" "}
        <b>{formatRatio(agent.kernelRatio)}</b> in the kernel
      </span>
      {host.signals.length > 0 && (
        <span title="of the catalogue's signals but agent_coverage, which is what says so">
          {host.signals.length - weak.length} of {host.signals.length} signals exact
          {weak.slice(0, NAMED_MAX).map((signal, i) => (
            <Fragment key={signal.name}>
              {i === 0 ? ", " : "; "}
              <b>{signal.name}</b> {STATE_WORDS[signal.state]}
              {signal.reason !== "" && ` (${signal.reason})`}
            </Fragment>
          ))}
          {weak.length > NAMED_MAX && (
            <>
              {" "}
              and <a href="#coverage">{weak.length - NAMED_MAX} more</a>
            </>
          )}
        </span>
      )}
      <span>
        accounted <b>{accounted ? formatRatio(accounted.ratio) : "–"}</b>
        {accounted && accounted.ratio < 0.999 ? ` (${accounted.quantity})` : ""}
      </span>
    </p>
  );
}
