// SPDX-License-Identifier: Apache-2.0
"use client";

import { PanelState } from "@/components/panel-state";
import { useSignals } from "@/lib/api/hooks";
import { useLinks } from "@/lib/links";
import { useView } from "@/lib/view";
import styles from "../page.module.css";
import { chosen } from "./choice";
import { GroupsCard } from "./groups-card";
import { SignalCatalogue } from "./signal-catalogue";
import { SignalChartCard } from "./signal-chart-card";
import { SignalControls } from "./signal-controls";
import { SignalFacts } from "./signal-facts";
import { useExplored } from "./use-explore";

/** Any signal of the catalogue, asked by hand; without one, all of them with how well they are measured. */
export function ExplorePage() {
  const view = useView();
  const links = useLinks();
  const explored = useExplored();
  const signals = useSignals();
  if (!signals.data) {
    return (
      <>
        <h1 className={styles["title"]}>Explore</h1>
        <PanelState
          cause={signals.error ? { kind: "failed", problem: signals.error.problem } : { kind: "loading" }}
          height={360}
          zone={view.zone}
          nowMs={view.nowMs}
          onRetry={() => void signals.refetch()}
          onClearFilter={() => view.setFilter("")}
          onLatest={() => view.setRange({ from: "now-15m", to: "now" })}
        />
      </>
    );
  }
  const signal = signals.data.find(({ name }) => name === explored.signal);
  const choice = signal && chosen(signal, explored);
  if (!signal || !choice) return <SignalCatalogue signals={signals.data} unknown={explored.signal} />;
  return (
    <>
      <h1 className={styles["title"]}>
        {signal.name} <span>{signal.question}</span>
      </h1>
      <p className={styles["facts"]}>
        <a className={styles["link"]} href={links.explore()}>
          all signals
        </a>
        <span>{signal.help}</span>
      </p>
      <div className={styles["stack"]}>
        <SignalControls signal={signal} choice={choice} explored={explored} />
        <SignalChartCard signal={signal} choice={choice} />
        <div className={styles["widerLeft"]}>
          <GroupsCard signal={signal} choice={choice} />
          <SignalFacts signal={signal} />
        </div>
      </div>
    </>
  );
}
