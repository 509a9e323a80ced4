// SPDX-License-Identifier: Apache-2.0
"use client";

import card from "@/components/chart-card.module.css";
import { PanelState } from "@/components/panel-state";
import styles from "@/features/page.module.css";
import type { Cause } from "@/lib/panel-state";

const CAUSES: readonly Cause[] = [
  { kind: "loading" },
  { kind: "waiting", detail: "The agent is enrolled and has not delivered its first window." },
  { kind: "no-match", filter: "process:nope" },
  { kind: "outside-retention", detail: "Raw windows are kept for 7 days." },
  { kind: "unsupported", signal: "tcp_rtt", reason: "kernel 5.4 has no iter/task_file", failed: false },
  { kind: "disabled", signal: "syscall_latency", state: "shed", reason: "over the budget of 1 % of a core" },
  { kind: "offline", host: "web-31", since: "2026-01-01T13:40:00Z", reason: "" },
  {
    kind: "failed",
    problem: {
      type: "about:blank",
      title: "The query took too long",
      status: 504,
      detail: "It was stopped after 30 s.",
      code: "QUERY_TIMEOUT",
      requestId: "req_01",
      retryable: true,
    },
  },
];

const nothing = (): void => undefined;

export function Gallery() {
  return (
    <main style={{ padding: 18 }}>
      <h1 className={styles["title"]}>Panel states</h1>
      <div className={styles["thirds"]}>
        {CAUSES.map((cause) => (
          <section key={cause.kind} className={card["card"]} aria-label={cause.kind}>
            <h2 className={card["title"]}>{cause.kind}</h2>
            <PanelState
              cause={cause}
              height={160}
              zone="utc"
              nowMs={Date.UTC(2026, 0, 1, 14)}
              onRetry={nothing}
              onClearFilter={nothing}
              onLatest={nothing}
            />
          </section>
        ))}
      </div>
    </main>
  );
}
