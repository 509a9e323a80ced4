// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatExact, formatRatio, formatValue } from "@waggle/units";
import Link from "next/link";
import { ChartCard, twinOf } from "@/components/chart-card";
import { colored, Legend } from "@/components/charts/legend";
import { type DrawnTrack, TimeChart } from "@/components/charts/time-chart";
import { tracksTwin } from "@/components/charts/tracks-twin";
import { type Column, DataTable } from "@/components/data-table";
import { usePanel } from "@/components/panel";
import { usePanelQuery } from "@/lib/api/hooks";
import type { Host, QueryAnswer } from "@/lib/api/types";
import { endpoint } from "@/lib/findings";
import { useLinks } from "@/lib/links";
import { groupTracks, labelText, OTHER, pick, single, zeros } from "@/lib/series";
import { useView } from "@/lib/view";
import { blameOf } from "../facts";
import styles from "../page.module.css";
import { BLAME } from "../query-defs";

const HEIGHT = 204;
const SHOWN = 6;

/** Words for what the classes of retransmission say about the path. */
const CLASS_WORDS: Readonly<Record<string, string>> = {
  fast: "fast retransmits: single segments get lost",
  timeout: "timeouts, not fast retransmits: the path drops whole windows",
  tlp: "tail-loss probes: the last segments of bursts get lost",
  syn: "SYNs: the peer does not answer",
  synack: "SYN-ACKs: the client does not answer",
};

export function RetransmitsCard({ host }: { host: Host }) {
  const view = useView();
  const query = usePanelQuery({
    signal: "tcp_retransmits",
    select: [{ measure: "segments", aggregate: "rate" }],
    by: ["process"],
    limit: SHOWN,
    shape: "series",
    host: host.name,
  });
  const who = usePanelQuery({ ...BLAME, host: host.name });
  const classes = usePanelQuery({
    signal: "tcp_retransmits",
    select: [{ measure: "segments", aggregate: "sum" }],
    by: ["class"],
    limit: 10,
    shape: "total",
    host: host.name,
  });
  const tracks = (answer: QueryAnswer): DrawnTrack[] => {
    const hidden = answer.meta.truncated ? answer.meta.truncated.total - answer.meta.truncated.shown : 0;
    const grouped = colored(groupTracks(pick(answer, "segments", "rate"), "process", SHOWN, hidden));
    return grouped.length > 0 ? grouped : [{ key: "none", label: "none", unit: "segments/s", values: zeros(answer.meta), color: "var(--s1)" }];
  };
  return (
    <ChartCard
      id="retransmits"
      title="Retransmitted segments"
      subtitle="per second, by process"
      query={query}
      panel={usePanel(query, [host])}
      height={HEIGHT}
      summary={() => <Who blame={who.result.data} classes={classes.result.data} />}
      twin={(answer) => tracksTwin(answer.meta, tracks(answer), view.zone)}
      legend={(answer) => <Legend tracks={tracks(answer)} />}
    >
      {(answer, summaryId) => (
        <TimeChart
          meta={answer.meta}
          tracks={tracks(answer)}
          stacked
          height={HEIGHT}
          unit="segments/s"
          label="Retransmitted segments per second, by process"
          describedBy={summaryId}
        />
      )}
    </ChartCard>
  );
}

function Who({ blame, classes }: { blame: QueryAnswer | undefined; classes: QueryAnswer | undefined }) {
  if (!blame) return " ";
  const rows = blameOf(blame);
  const total = rows.reduce((sum, row) => sum + row.segments, 0);
  if (total === 0) return "none in this range";
  const byProcess = new Map<string, number>();
  for (const row of rows) byProcess.set(row.process, (byProcess.get(row.process) ?? 0) + row.segments);
  const [first] = [...byProcess].filter(([name]) => name !== OTHER).sort((a, b) => b[1] - a[1]);
  if (!first) return `${formatValue(total, "segments")} in this range`;
  const peer = rows.filter((row) => row.process === first[0]).sort((a, b) => b.segments - a.segments)[0];
  const classRows = classes ? pick(classes, "segments", "sum") : [];
  const classTotal = classRows.reduce((sum, s) => sum + (single(s) ?? 0), 0);
  const main = [...classRows].sort((a, b) => (single(b) ?? 0) - (single(a) ?? 0))[0];
  const mainWords = main && (single(main) ?? 0) > classTotal * 0.5 ? CLASS_WORDS[main.labels["class"] ?? ""] : undefined;
  return (
    <>
      <b>{labelText(first[0])}</b> {formatRatio(first[1] / total)}
      {peer ? ` → ${endpoint(peer.peer, peer.peerPort)}` : ""}
      {mainWords ? ` · ${mainWords}` : ""}
    </>
  );
}

interface PeerRow {
  readonly process: string;
  readonly peer: string;
  readonly kind: string;
  readonly segments: number;
  readonly share: number;
}

export function RetransmitsByPeerCard({ host }: { host: Host }) {
  const links = useLinks();
  const query = usePanelQuery({
    signal: "tcp_retransmits",
    select: [{ measure: "segments", aggregate: "sum" }],
    by: ["process", "peer", "class"],
    limit: 30,
    shape: "total",
    host: host.name,
  });
  const rowsOf = (answer: QueryAnswer): PeerRow[] => {
    const series = pick(answer, "segments", "sum").filter((s) => (single(s) ?? 0) > 0);
    const total = series.reduce((sum, s) => sum + (single(s) ?? 0), 0);
    return series.map((s) => ({
      process: s.labels["process"] ?? "",
      peer: s.labels["peer"] ?? "",
      kind: s.labels["class"] ?? "",
      segments: single(s) ?? 0,
      share: (single(s) ?? 0) / total,
    }));
  };
  const columns: Column<PeerRow>[] = [
    {
      key: "process",
      header: "process",
      sort: (r) => r.process,
      render: (r) => <Name text={r.process} href={links.filter("process", r.process)} />,
    },
    {
      key: "peer",
      header: "peer",
      sort: (r) => r.peer,
      render: (r) => <span className="mono">{r.peer === "" || r.peer === OTHER ? labelText(r.peer) : `→ ${r.peer}`}</span>,
    },
    { key: "class", header: "class", sort: (r) => r.kind, render: (r) => labelText(r.kind) },
    { key: "segments", header: "segments", align: "right", sort: (r) => r.segments, render: (r) => formatExact(r.segments) },
    { key: "share", header: "of all", align: "right", sort: (r) => r.share, render: (r) => formatRatio(r.share) },
  ];
  return (
    <ChartCard
      id="retransmits-by-peer"
      title="Retransmits"
      subtitle="segments, by process, peer and class"
      query={query}
      panel={usePanel(query, [host])}
      height={160}
      ribbon={false}
      twin={(answer) => twinOf(columns, rowsOf(answer))}
    >
      {(answer) =>
        rowsOf(answer).length === 0 ? (
          <p className={styles["dim"]}>0 segments were sent again in this range.</p>
        ) : (
          <DataTable
            label="Retransmitted segments by process, peer and class"
            columns={columns}
            rows={rowsOf(answer)}
            rowKey={(r) => `${r.process} ${r.peer} ${r.kind}`}
            initialSort={{ key: "segments", direction: "descending" }}
            maxHeight={300}
          />
        )
      }
    </ChartCard>
  );
}

/** A process or peer that filters the page when clicked; overflow and unknown can't. */
export function Name({ text, href }: { text: string; href: string }) {
  if (text === "" || text === OTHER) return <span className={styles["dim"]}>{labelText(text)}</span>;
  return (
    <Link href={href} className={styles["link"]} scroll={false}>
      {text}
    </Link>
  );
}
