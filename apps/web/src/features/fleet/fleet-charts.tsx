// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatValue } from "@waggle/units";
import type { ReactNode } from "react";
import { ChartCard } from "@/components/chart-card";
import { colored, Legend } from "@/components/charts/legend";
import { type DrawnTrack, TimeChart } from "@/components/charts/time-chart";
import { tracksTwin } from "@/components/charts/tracks-twin";
import { usePanel } from "@/components/panel";
import { usePanelQuery } from "@/lib/api/hooks";
import type { Host, QueryAnswer } from "@/lib/api/types";
import { groupTracks, largest, lastKnown, pick, zeros } from "@/lib/series";
import { useView } from "@/lib/view";
import { lossShare } from "../facts";
import styles from "../page.module.css";
import { LATENCY, percentiles, RTT, SEGMENTS } from "../query-defs";
import { type HostRow, worstHost } from "./host-rows";

const HEIGHT = 132;

export function FleetCharts({ rows, hosts }: { rows: readonly HostRow[]; hosts: readonly Host[] | undefined }) {
  return (
    <div className={styles["thirds"]}>
      <RetransmitShare rows={rows} hosts={hosts} />
      <Percentiles
        id="rtt"
        title="Round-trip time"
        signal="tcp_rtt"
        measure={RTT}
        worst={worstHost(rows, "rtt")?.host.name ?? null}
        hosts={hosts}
        noun="connections"
      />
      <ByError id="connect-failures" title="Connect failures" signal="tcp_connect_failures" hosts={hosts} />
      <Percentiles
        id="connect-latency"
        title="Connect latency"
        signal="tcp_connect_latency"
        measure={LATENCY}
        worst={null}
        hosts={hosts}
        noun="connects"
      />
      <ByError id="syscall-errors" title="System call errors" signal="syscall_errors" hosts={hosts} />
      <Traffic hosts={hosts} />
    </div>
  );
}

interface ChartsProps {
  readonly rows: readonly HostRow[];
  readonly hosts: readonly Host[] | undefined;
}

function RetransmitShare({ rows, hosts }: ChartsProps) {
  const view = useView();
  const worst = worstHost(rows, "retransmits");
  const many = rows.length > 1;
  const query = usePanelQuery({ signal: "tcp_connections", select: SEGMENTS, shape: "series" });
  const worstQuery = usePanelQuery({
    signal: "tcp_connections",
    select: SEGMENTS,
    shape: "series",
    host: worst?.host.name ?? "",
    enabled: many && worst !== null,
  });
  const tracks = (): DrawnTrack[] => [
    {
      key: "all",
      label: many ? "all hosts" : (rows[0]?.host.name ?? "host"),
      unit: "ratio",
      values: lossShare(query.result.data),
      color: "var(--s1)",
      filled: true,
    },
    ...(many && worst && worstQuery.result.data
      ? [
          {
            key: "worst",
            label: `worst: ${worst.host.name}`,
            unit: "ratio",
            values: lossShare(worstQuery.result.data),
            color: "var(--text-3)",
            dashed: true,
          },
        ]
      : []),
  ];
  return (
    <ChartCard
      id="retransmits"
      title="Retransmits"
      subtitle="share of segments sent"
      query={query}
      panel={usePanel(query, hosts)}
      height={HEIGHT}
      summary={(answer) => {
        const retransmitted = sum(answer, "segments_retransmitted");
        const sent = sum(answer, "segments_sent");
        return (
          <>
            <b>{formatValue(sent > 0 ? retransmitted / sent : 0, "ratio")}</b> of {formatValue(sent, "segments")} segments
            {worst && many && ` · worst ${worst.host.name} ${formatValue(worst.values.retransmits, "ratio")}`}
          </>
        );
      }}
      twin={(answer) => tracksTwin(answer.meta, tracks(), view.zone)}
      legend={() => <Legend tracks={tracks()} />}
    >
      {(answer, summaryId) => (
        <TimeChart
          meta={answer.meta}
          tracks={tracks()}
          height={HEIGHT}
          unit="ratio"
          label="Retransmits, share of segments sent"
          describedBy={summaryId}
        />
      )}
    </ChartCard>
  );
}

function Percentiles(props: {
  id: string;
  title: string;
  signal: string;
  measure: string;
  worst: string | null;
  hosts: readonly Host[] | undefined;
  noun: string;
}) {
  const { id, title, signal, measure, worst, hosts, noun } = props;
  const view = useView();
  const many = (hosts?.length ?? 0) > 1;
  const query = usePanelQuery({ signal, select: percentiles(measure), shape: "series" });
  const total = usePanelQuery({ signal, select: [...percentiles(measure), { measure, aggregate: "count" }], shape: "total" });
  const worstQuery = usePanelQuery({
    signal,
    select: [{ measure, aggregate: "p99" }],
    shape: "series",
    host: worst ?? "",
    enabled: many && worst !== null,
  });
  const tracks = (answer: QueryAnswer): DrawnTrack[] => {
    const worstValues = worstQuery.result.data ? pick(worstQuery.result.data, measure, "p99")[0]?.values : undefined;
    return [
      ...(many && worst && worstValues
        ? [{ key: "worst", label: `p99 of ${worst}`, unit: "ns", values: worstValues, color: "var(--text-3)", dashed: true }]
        : []),
      { key: "p99", label: "p99", unit: "ns", values: pick(answer, measure, "p99")[0]?.values ?? [], color: "var(--s1)", filled: true },
      { key: "p50", label: "p50", unit: "ns", values: pick(answer, measure, "p50")[0]?.values ?? [], color: "var(--s2)" },
    ];
  };
  const summary = (): ReactNode => {
    const data = total.result.data;
    if (!data) return " ";
    const count = pick(data, measure, "count")[0]?.values[0] ?? 0;
    if (!count) return `0 ${noun} measured`;
    return (
      <>
        p50 <b>{formatValue(pick(data, measure, "p50")[0]?.values[0], "ns")}</b> · p99{" "}
        <b>{formatValue(pick(data, measure, "p99")[0]?.values[0], "ns")}</b>
        {worst && many && ` · worst ${worst}`}
      </>
    );
  };
  return (
    <ChartCard
      id={id}
      title={title}
      subtitle={many && worst ? "p50 · p99 · worst host" : "p50 · p99"}
      query={query}
      panel={usePanel(query, hosts)}
      height={HEIGHT}
      summary={summary}
      twin={(answer) => tracksTwin(answer.meta, tracks(answer), view.zone)}
      legend={(answer) => <Legend tracks={tracks(answer)} />}
    >
      {(answer, summaryId) => (
        <TimeChart meta={answer.meta} tracks={tracks(answer)} height={HEIGHT} unit="ns" label={`${title}, percentiles`} describedBy={summaryId} />
      )}
    </ChartCard>
  );
}

function ByError({ id, title, signal, hosts }: { id: string; title: string; signal: string; hosts: readonly Host[] | undefined }) {
  const view = useView();
  const query = usePanelQuery({ signal, select: [{ measure: "count", aggregate: "rate" }], by: ["errno"], limit: 6, shape: "series" });
  const tracks = (answer: QueryAnswer): DrawnTrack[] => {
    const hidden = answer.meta.truncated ? answer.meta.truncated.total - answer.meta.truncated.shown : 0;
    const grouped = colored(groupTracks(pick(answer, "count", "rate"), "errno", 5, hidden));
    return grouped.length > 0 ? grouped : [{ key: "none", label: "none", unit: "errors/s", values: zeros(answer.meta), color: "var(--s1)" }];
  };
  return (
    <ChartCard
      id={id}
      title={title}
      subtitle="per second, by error"
      query={query}
      panel={usePanel(query, hosts)}
      height={HEIGHT}
      summary={(answer) => {
        const [first] = groupTracks(pick(answer, "count", "rate"), "errno", 5, 0);
        return first ? (
          <>
            <b>{first.label}</b> now {formatValue(lastKnown(first.values), "errors/s")}, at most {formatValue(largest(first.values), "errors/s")}
          </>
        ) : (
          "none in this range"
        );
      }}
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
          label={`${title} per second, by error`}
          describedBy={summaryId}
        />
      )}
    </ChartCard>
  );
}

function Traffic({ hosts }: { hosts: readonly Host[] | undefined }) {
  const view = useView();
  const query = usePanelQuery({
    signal: "tcp_connections",
    select: [
      { measure: "bytes_sent", aggregate: "rate" },
      { measure: "bytes_received", aggregate: "rate" },
    ],
    shape: "series",
  });
  const tracks = (answer: QueryAnswer): DrawnTrack[] => [
    { key: "out", label: "out", unit: "bytes/s", values: pick(answer, "bytes_sent", "rate")[0]?.values ?? zeros(answer.meta), color: "var(--s1)" },
    { key: "in", label: "in", unit: "bytes/s", values: pick(answer, "bytes_received", "rate")[0]?.values ?? zeros(answer.meta), color: "var(--s2)" },
  ];
  return (
    <ChartCard
      id="traffic"
      title="TCP traffic"
      subtitle="payload bytes per second"
      query={query}
      panel={usePanel(query, hosts)}
      height={HEIGHT}
      summary={(answer) => (
        <>
          now out <b>{formatValue(lastKnown(tracks(answer)[0]?.values ?? []), "bytes/s")}</b> · in{" "}
          <b>{formatValue(lastKnown(tracks(answer)[1]?.values ?? []), "bytes/s")}</b>
        </>
      )}
      twin={(answer) => tracksTwin(answer.meta, tracks(answer), view.zone)}
      legend={(answer) => <Legend tracks={tracks(answer)} />}
    >
      {(answer, summaryId) => (
        <TimeChart
          meta={answer.meta}
          tracks={tracks(answer)}
          height={HEIGHT}
          unit="bytes/s"
          label="TCP payload bytes per second"
          describedBy={summaryId}
        />
      )}
    </ChartCard>
  );
}

function sum(answer: QueryAnswer, measure: string): number {
  return (pick(answer, measure, "sum")[0]?.values ?? []).reduce<number>((total, value) => total + (value ?? 0), 0);
}
