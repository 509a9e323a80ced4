// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatBytes, formatMemory, formatRatio } from "@waggle/units";
import { Fragment } from "react";
import { usePanelQuery } from "@/lib/api/hooks";
import type { Host } from "@/lib/api/types";
import styles from "../page.module.css";
import { accountingOf, worstAccounted } from "./accounting";

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
        <span>
          {host.signals.length - weak.length} of {host.signals.length} signals exact
          {weak.map((signal, i) => (
            <Fragment key={signal.name}>
              {i === 0 ? ", " : "; "}
              <b title={signal.reason}>{signal.name}</b> {signal.state}
            </Fragment>
          ))}
        </span>
      )}
      <span>
        accounted <b>{accounted ? formatRatio(accounted.ratio) : "–"}</b>
        {accounted && accounted.ratio < 0.999 ? ` (${accounted.quantity})` : ""}
      </span>
    </p>
  );
}
