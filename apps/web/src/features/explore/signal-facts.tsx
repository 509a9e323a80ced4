// SPDX-License-Identifier: Apache-2.0
"use client";

import cardStyles from "@/components/chart-card.module.css";
import type { Signal } from "@/lib/api/types";
import { STATE_WORDS } from "../host/signal-states";
import styles from "./explore.module.css";

/** Where a signal's numbers come from and what they do not see. */
export function SignalFacts({ signal }: { signal: Signal }) {
  return (
    <section className={cardStyles["card"]} aria-labelledby="signal-facts">
      <div className={cardStyles["head"]}>
        <h2 className={cardStyles["title"]} id="signal-facts">
          How it is measured <span>{stateSummary(signal)}</span>
        </h2>
      </div>
      <div className={styles["facts"]}>
        {signal.hooks.length > 0 && (
          <div>
            <h3>Hooks</h3>
            <ul className={styles["list"]}>
              {signal.hooks.map((hook) => (
                <li key={hook}>
                  <code>{hook}</code>
                </li>
              ))}
            </ul>
          </div>
        )}
        <div>
          <h3>Measures</h3>
          <ul className={styles["list"]}>
            {signal.measures.map((measure) => (
              <li key={measure.name}>
                <code>{measure.name}</code> ({measure.unit}): {measure.help}
              </li>
            ))}
          </ul>
        </div>
        {signal.caveats.length > 0 && (
          <div>
            <h3>What it does not see</h3>
            <ul className={styles["list"]}>
              {signal.caveats.map((caveat) => (
                <li key={caveat}>{caveat}</li>
              ))}
            </ul>
          </div>
        )}
      </div>
    </section>
  );
}

/** `exact on 11 hosts, unsupported on 1`, in the order of the states. */
export function stateSummary({ coverage }: Signal): string {
  const known = Object.entries(coverage.states).filter(([, count]) => count > 0);
  if (known.length === 0) return "no host says anything about it";
  return known
    .map(
      ([state, count], index) =>
        `${STATE_WORDS[state as keyof typeof STATE_WORDS]} on ${count}${index === 0 ? (count === 1 ? " host" : " hosts") : ""}`,
    )
    .join(", ");
}
