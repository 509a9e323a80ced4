// SPDX-License-Identifier: Apache-2.0
"use client";

import { literal } from "@waggle/query";
import { useMemo } from "react";
import { usePanel } from "@/components/panel";
import { PanelState } from "@/components/panel-state";
import { SentenceText } from "@/components/sentence";
import { ApiError } from "@/lib/api/client";
import { useHosts, usePanelQuery, useSignals } from "@/lib/api/hooks";
import type { QueryAnswer } from "@/lib/api/types";
import { fleetSentence, losing, losingPaths, plain, worstFailure } from "@/lib/findings";
import { useLinks } from "@/lib/links";
import { hostPredicate } from "@/lib/page-filter";
import { OTHER, stepStart } from "@/lib/series";
import { useView } from "@/lib/view";
import { blameOf, failuresOf, lossesOf, lossShare, pathsOf, totals, wasCovered } from "../facts";
import styles from "../page.module.css";
import { BLAME, FAILURES, HOSTS_MAX, PATHS, RTT, SEGMENTS } from "../query-defs";
import { CombCard } from "./comb-card";
import { Enrol } from "./enrol";
import { FleetCharts } from "./fleet-charts";
import { hostRows } from "./host-rows";
import { WorstHosts } from "./worst-hosts";

const PATH = ["process", "peer", "peer_port"];

/** The error most failures of the answer have, and the port if it is the port of most. */
function mostOf(answer: QueryAnswer | undefined): { errno: string; peerPort: string } | undefined {
  const pairs = [...totals(answer, "count", "sum", ["errno", "peer_port"])].map(([key, count]) => {
    const [errno = "", port = ""] = key.split("\u0000");
    return { errno, port, count: count ?? 0 };
  });
  const all = pairs.reduce((sum, pair) => sum + pair.count, 0);
  const byErrno = Map.groupBy(
    pairs.filter((pair) => pair.errno !== OTHER && pair.errno !== ""),
    (pair) => pair.errno,
  );
  const sumOf = (list: readonly { count: number }[]): number => list.reduce((sum, pair) => sum + pair.count, 0);
  const [most] = [...byErrno].sort((a, b) => sumOf(b[1]) - sumOf(a[1]));
  if (!most) return undefined;
  const port = most[1].find((pair) => pair.count > all / 2)?.port ?? "";
  return { errno: most[0], peerPort: port };
}

export function FleetPage() {
  const view = useView();
  const links = useLinks();
  const hosts = useHosts();
  const signals = useSignals();

  const segments = usePanelQuery({ signal: "tcp_connections", select: SEGMENTS, by: ["host"], limit: HOSTS_MAX, shape: "total" });
  const rtt = usePanelQuery({ signal: "tcp_rtt", select: [{ measure: RTT, aggregate: "p99" }], by: ["host"], limit: HOSTS_MAX, shape: "total" });
  const connects = usePanelQuery({
    signal: "tcp_connect_failures",
    select: [{ measure: "count", aggregate: "rate" }],
    by: ["host"],
    limit: HOSTS_MAX,
    shape: "total",
  });
  const syscalls = usePanelQuery({
    signal: "syscall_errors",
    select: [{ measure: "count", aggregate: "rate" }],
    by: ["host"],
    limit: HOSTS_MAX,
    shape: "total",
  });
  const failures = usePanelQuery({ ...FAILURES, by: ["host", "process", "peer"] });
  const failure = worstFailure(failuresOf(failures.result.data));
  const failureErrors = usePanelQuery({
    signal: "tcp_connect_failures",
    select: [{ measure: "count", aggregate: "sum" }],
    by: ["errno", "peer_port"],
    limit: 100,
    shape: "total",
    host: failure?.host ?? "",
    where: failure ? [literal("process", failure.process), literal("peer", failure.peer)] : [],
    enabled: failure !== null,
  });

  const losses = useMemo(() => lossesOf(segments.result.data), [segments.result.data]);
  const reporting = new Set(hosts.data?.filter((host) => host.state === "reporting").map((host) => host.name));
  const lossy = losing(losses).filter((loss) => reporting.has(loss.host));
  const worstLoss = lossy[0] ?? null;
  // One loser: who it is on that host. Several: who it is everywhere.
  const blame = usePanelQuery(worstLoss && lossy.length === 1 ? { ...BLAME, host: worstLoss.host } : BLAME);
  const lossSeries = usePanelQuery({
    signal: "tcp_connections",
    select: SEGMENTS,
    shape: "series",
    host: worstLoss?.host ?? "",
    enabled: worstLoss !== null,
  });

  // A host with a losing path that as a whole is fine; then which of its paths still lose, and to which port.
  const paths = usePanelQuery({ ...PATHS, by: ["host", "process", "peer"], limit: 50, shape: "total" });
  const [worstPath] = losingPaths(pathsOf(paths.result.data, ["host", "process", "peer"])).filter(
    (path) => reporting.has(path.host) && !lossy.some((loss) => loss.host === path.host),
  );
  const pathSeries = usePanelQuery({ ...PATHS, by: PATH, host: worstPath?.host ?? "", enabled: worstPath !== undefined });

  const rows = useMemo(() => {
    const list = (hosts.data ?? []).filter(hostPredicate(view.filter, hosts.data, signals.data));
    return hostRows(list, { segments: segments.result.data, rtt: rtt.result.data, connects: connects.result.data, syscalls: syscalls.result.data });
  }, [hosts.data, signals.data, view.filter, segments.result.data, rtt.result.data, connects.result.data, syscalls.result.data]);

  const stepMeta = (lossSeries.result.data ?? pathSeries.result.data)?.meta;
  const asked = [segments, failures, paths, ...(worstPath ? [pathSeries] : []), ...(failure ? [failureErrors] : [])].map((q) => q.result);
  const known = asked.every((result) => !result.isPending);
  const sentence = hosts.data
    ? fleetSentence(
        {
          hosts: rows.map((row) => row.host),
          losses,
          blame: blameOf(blame.result.data),
          lossShares: worstLoss ? lossShare(lossSeries.result.data) : [],
          stepStartMs: (i) => (stepMeta ? stepStart(stepMeta, i) : view.range.fromMs),
          failures: failure ? [{ ...failure, ...mostOf(failureErrors.result.data) }] : [],
          paths: worstPath ? pathsOf(pathSeries.result.data, PATH, worstPath.host) : [],
        },
        {
          filtered: view.filter !== "",
          covered: wasCovered(segments.result.data),
          complete: asked.every((result) => !result.isError),
          rangeFromMs: view.range.fromMs,
          nowMs: view.nowMs,
          zone: view.zone,
          hostHref: links.host,
          filterHref: links.filter,
        },
      )
    : null;

  const panels = {
    retransmits: { query: segments, panel: usePanel(segments, hosts.data) },
    rtt: { query: rtt, panel: usePanel(rtt, hosts.data) },
    connects: { query: connects, panel: usePanel(connects, hosts.data) },
    syscalls: { query: syscalls, panel: usePanel(syscalls, hosts.data) },
  };

  if (hosts.error instanceof ApiError) {
    return (
      <>
        <h1 className={styles["sentence"]}>The fleet can't be shown</h1>
        <PanelState
          cause={{ kind: "failed", problem: hosts.error.problem }}
          height={300}
          zone={view.zone}
          nowMs={view.nowMs}
          onRetry={() => void hosts.refetch()}
          onClearFilter={() => view.setFilter("")}
          onLatest={() => view.setRange({ from: "now-15m", to: "now" })}
        />
      </>
    );
  }
  if (hosts.data?.length === 0) return <Enrol />;

  return (
    <>
      <h1 className={styles["sentence"]}>
        {sentence && known ? (
          <SentenceText sentence={sentence} />
        ) : hosts.data ? (
          `${hosts.data.length === 1 ? "1 host" : `${hosts.data.length} hosts`}.`
        ) : (
          " "
        )}
      </h1>
      <p className="visually-hidden" aria-live="polite">
        {sentence && known ? plain(sentence) : ""}
      </p>
      <div className={styles["stack"]}>
        <div className={styles["combRow"]}>
          <CombCard rows={rows} panels={panels} />
          <WorstHosts rows={rows} loading={hosts.data === undefined} />
        </div>
        <FleetCharts rows={rows} hosts={hosts.data} />
      </div>
    </>
  );
}
