// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatValue } from "@waggle/units";
import { ChartCard } from "@/components/chart-card";
import { colored, Legend } from "@/components/charts/legend";
import { type DrawnTrack, TimeChart } from "@/components/charts/time-chart";
import { tracksTwin } from "@/components/charts/tracks-twin";
import { usePanel } from "@/components/panel";
import { usePanelQuery } from "@/lib/api/hooks";
import type { Host, QueryAnswer } from "@/lib/api/types";
import { groupTracks, labelText, pick, zeros } from "@/lib/series";
import { useView } from "@/lib/view";
import { failuresOf } from "../facts";
import { FAILURES } from "../query-defs";

const HEIGHT = 200;

export function ConnectFailuresCard({ host }: { host: Host }) {
  const view = useView();
  const query = usePanelQuery({
    signal: "tcp_connect_failures",
    select: [{ measure: "count", aggregate: "rate" }],
    by: ["errno"],
    limit: 6,
    shape: "series",
    host: host.name,
  });
  const who = usePanelQuery({ ...FAILURES, host: host.name });
  const tracks = (answer: QueryAnswer): DrawnTrack[] => {
    const grouped = colored(groupTracks(pick(answer, "count", "rate"), "errno", 6, 0));
    return grouped.length > 0 ? grouped : [{ key: "none", label: "none", unit: "errors/s", values: zeros(answer.meta), color: "var(--s1)" }];
  };
  const failures = failuresOf(who.result.data).filter((f) => f.count > 0);
  const total = failures.reduce((sum, f) => sum + f.count, 0);
  const worst = [...failures].sort((a, b) => b.count - a.count)[0];
  return (
    <ChartCard
      id="connect-failures"
      title="Connect failures"
      subtitle="per second, by error"
      query={query}
      panel={usePanel(query, [host])}
      height={HEIGHT}
      summary={() =>
        !who.result.data ? (
          " "
        ) : worst ? (
          <>
            {formatValue(total, "errors")} in the range, most <b>{labelText(worst.process)}</b> → {labelText(worst.peer)}: {worst.errno}{" "}
            {formatValue(worst.count, "errors")}
          </>
        ) : (
          "none in this range"
        )
      }
      twin={(answer) => tracksTwin(answer.meta, tracks(answer), view.zone)}
      legend={(answer) => <Legend tracks={tracks(answer)} />}
    >
      {(answer, summaryId) => (
        <TimeChart
          meta={answer.meta}
          tracks={tracks(answer)}
          stacked
          height={HEIGHT}
          unit="errors/s"
          label="Connect failures per second, by error"
          describedBy={summaryId}
        />
      )}
    </ChartCard>
  );
}
