// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatValue } from "@waggle/units";
import { type LiveQuery, useLiveHost } from "@/lib/api/live";
import type { Host } from "@/lib/api/types";
import { latest, sparkline } from "@/lib/live-windows";
import styles from "./live-strip.module.css";

const KEPT_MS = 60_000;
const WIDTH = 160;
const HEIGHT = 28;

interface Item {
  readonly label: string;
  readonly unit: string;
  readonly query: LiveQuery;
}

const item = (label: string, unit: string, signal: string, measure: string, aggregate: LiveQuery["select"][number]["aggregate"]): Item => ({
  label,
  unit,
  query: { signal, select: [{ measure, aggregate }] },
});

const ITEMS: readonly Item[] = [
  item("RTT p99", "ns", "tcp_rtt", "rtt", "p99"),
  item("Retransmits", "segments/s", "tcp_retransmits", "segments", "rate"),
  item("Sent", "bytes/s", "tcp_connections", "bytes_sent", "rate"),
  item("System calls", "calls/s", "syscalls", "count", "rate"),
];
const QUERIES = ITEMS.map(({ query }) => query);

/** What happens on a host now, a second at a time, as long as the page follows the present. */
export function LiveStrip({ host }: { host: Host }) {
  const { state, moments, reasons } = useLiveHost(host.name, QUERIES, KEPT_MS);
  const newest = moments.at(-1);
  if (state === "off" || state === "polling") return null;
  const stepSeconds = newest === undefined ? null : (newest.toMs - newest.fromMs) / 1_000;
  return (
    <section className={styles["strip"]} aria-label="The last minute, as it comes">
      <p className={styles["state"]}>
        <b>Now</b>
        <span>{stepSeconds === null ? "connecting" : `every ${stepSeconds} s`}</span>
      </p>
      {ITEMS.map(({ label, unit }, position) => {
        const value = latest(moments, position);
        const reason = value === null ? (reasons[position] ?? null) : null;
        return (
          <div key={label} className={styles["item"]} title={reason ?? undefined}>
            <span className={styles["label"]}>{label}</span>
            <output className={styles["value"]}>{formatValue(value, unit)}</output>
            {reason === null ? (
              <svg className={styles["line"]} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
                <path d={sparkline(moments, position, KEPT_MS, WIDTH, HEIGHT)} />
              </svg>
            ) : (
              <span className={styles["reason"]}>{reason}</span>
            )}
          </div>
        );
      })}
    </section>
  );
}
