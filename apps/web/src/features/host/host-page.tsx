// SPDX-License-Identifier: Apache-2.0
"use client";

import { useMemo } from "react";
import { PanelState } from "@/components/panel-state";
import { SentenceText } from "@/components/sentence";
import { SimulatedBadge } from "@/components/simulated";
import { useHost, usePanelQuery } from "@/lib/api/hooks";
import type { Host } from "@/lib/api/types";
import { hostSentence } from "@/lib/findings";
import { GapKnowledgeContext, gapKnowledge } from "@/lib/gap-reasons";
import { useLinks } from "@/lib/links";
import { stepStart } from "@/lib/series";
import { useView } from "@/lib/view";
import { blameOf, failuresOf, lossShare, pathsOf, totalLoss, wasCovered } from "../facts";
import styles from "../page.module.css";
import { BLAME, FAILURES, PATHS, SEGMENTS } from "../query-defs";
import { AgentSection } from "./agent-section";
import { ConnectFailuresCard } from "./connect-failures-card";
import { ConnectionsCard } from "./connections-card";
import { HostFactsLine } from "./facts-line";
import { LatencyHeatCard, LatencyPercentilesCard } from "./latency-cards";
import { LiveStrip } from "./live-strip";
import { RetransmitsByPeerCard, RetransmitsCard } from "./retransmits-cards";
import { SyscallsCard } from "./syscalls-card";

export function HostPage({ idOrName }: { idOrName: string }) {
  const view = useView();
  const host = useHost(idOrName);
  if (host.data) return <HostView key={host.data.id} host={host.data} />;
  return (
    <>
      <h1 className={styles["title"]}>{idOrName}</h1>
      <PanelState
        cause={host.error ? { kind: "failed", problem: host.error.problem } : { kind: "loading" }}
        height={360}
        zone={view.zone}
        nowMs={view.nowMs}
        onRetry={() => void host.refetch()}
        onClearFilter={() => view.setFilter("")}
        onLatest={() => view.setRange({ from: "now-15m", to: "now" })}
      />
    </>
  );
}

const PATH = ["process", "peer", "peer_port"];

function HostView({ host }: { host: Host }) {
  const view = useView();
  const links = useLinks();
  const shares = usePanelQuery({ signal: "tcp_connections", select: SEGMENTS, shape: "series", host: host.name });
  const blame = usePanelQuery({ ...BLAME, host: host.name });
  const failures = usePanelQuery({ ...FAILURES, host: host.name });
  const paths = usePanelQuery({ ...PATHS, by: PATH, host: host.name });
  const shareMeta = shares.result.data?.meta;
  const asked = [shares, failures, paths].map((q) => q.result);
  const known = asked.every((result) => !result.isPending);
  const sentence = hostSentence(
    {
      host,
      loss: totalLoss(shares.result.data, host.name),
      blame: blameOf(blame.result.data),
      lossShares: lossShare(shares.result.data),
      stepStartMs: (i) => (shareMeta ? stepStart(shareMeta, i) : view.range.fromMs),
      failures: failuresOf(failures.result.data),
      paths: pathsOf(paths.result.data, PATH, host.name),
    },
    {
      filtered: view.filter !== "",
      covered: wasCovered(shares.result.data),
      complete: asked.every((result) => !result.isError),
      rangeFromMs: view.range.fromMs,
      nowMs: view.nowMs,
      zone: view.zone,
      hostHref: links.host,
      filterHref: links.filter,
    },
  );

  const states = usePanelQuery({
    signal: "agent_coverage",
    select: [{ measure: "windows", aggregate: "sum" }],
    by: ["signal", "state", "reason"],
    limit: 100,
    shape: "series",
    host: host.name,
  }).result.data;
  const gaps = useMemo(() => gapKnowledge(host, states), [host, states]);

  return (
    <GapKnowledgeContext value={gaps}>
      <h1 className={styles["title"]}>
        {host.name}
        <SimulatedBadge host={host} /> <span>{known || host.state !== "reporting" ? <SentenceText sentence={sentence} /> : ""}</span>
      </h1>
      <HostFactsLine host={host} />
      <div className={styles["stack"]}>
        <LiveStrip host={host} />
        <div className={styles["wideLeft"]}>
          <LatencyHeatCard host={host} id="rtt" title="Round-trip time" signal="tcp_rtt" measure="rtt" noun="connections" />
          <RetransmitsCard host={host} />
        </div>
        <div className={styles["widerLeft"]}>
          <ConnectionsCard host={host} />
          <SyscallsCard host={host} />
        </div>
        <div className={styles["thirds"]}>
          <LatencyPercentilesCard host={host} id="rtt-percentiles" title="Round-trip time" signal="tcp_rtt" measure="rtt" />
          <LatencyHeatCard
            host={host}
            id="connect"
            title="Connect latency"
            signal="tcp_connect_latency"
            measure="latency"
            noun="connects"
            height={196}
          />
          <LatencyPercentilesCard host={host} id="connect-percentiles" title="Connect latency" signal="tcp_connect_latency" measure="latency" />
        </div>
        <div className={styles["wideLeft"]}>
          <RetransmitsByPeerCard host={host} />
          <ConnectFailuresCard host={host} />
        </div>
        <AgentSection host={host} />
      </div>
    </GapKnowledgeContext>
  );
}
