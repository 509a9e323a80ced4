// SPDX-License-Identifier: Apache-2.0
import { formatFactor, formatMoment, formatRate, formatRatio, type Zone } from "@waggle/units";
import type { Host } from "./api/types";
import { OTHER } from "./series";

/** A piece of a sentence. `tone` is doubled by the words themselves, never by colour alone. */
export interface Part {
  readonly text: string;
  readonly tone?: "critical" | "warning" | "strong" | "quiet";
  readonly href?: string;
}

export type Sentence = readonly Part[];

export function plain(sentence: Sentence): string {
  return sentence.map((part) => part.text).join("");
}

/**
 * From here on retransmissions are named in the headline. Healthy paths inside a data centre stay below 0.1 %, busy internet paths reach about 1 %;
 * throughput of loss-based congestion control suffers visibly above.
 */
export const LOSS_SHARE_WARNING = 0.01;
export const LOSS_SHARE_CRITICAL = 0.03;
/** Fewer segments than this say nothing about a path: one lost packet of ten is 10 %. */
export const LOSS_SEGMENTS_MIN = 20;
/** Failed connects in the range from which on they are named. */
export const FAILURES_MIN = 10;

export interface Loss {
  readonly host: string;
  readonly sent: number;
  readonly retransmitted: number;
}

export interface Blame {
  readonly process: string;
  readonly peer: string;
  readonly peerPort: string;
  readonly segments: number;
}

export interface Failures {
  readonly process: string;
  readonly peer: string;
  readonly peerPort: string;
  readonly errno: string;
  readonly count: number;
  readonly perSecond: number;
}

/** A threshold crossed: from which step on, and what was usual before. `index` 0 = already so when the range began. */
export interface Onset {
  readonly index: number;
  readonly usual: number | null;
}

/**
 * Where the run of steps at or above `threshold` that contains the last known step began; up to two steps below or missing do not end it.
 * null when the last known steps are fine. `usual` is the median before.
 */
export function onset(values: readonly (number | null)[], threshold: number): Onset | null {
  let begin: number | null = null;
  let fine = 0;
  for (let i = values.length - 1; i >= 0 && fine <= 2; i--) {
    const value = values[i] ?? null;
    if (value !== null && value >= threshold) {
      begin = i;
      fine = 0;
    } else fine++;
  }
  if (begin === null) return null;
  const before = values
    .slice(0, begin)
    .filter((v) => v !== null)
    .sort((a, b) => a - b);
  return { index: begin, usual: before.length > 0 ? (before[Math.floor((before.length - 1) / 2)] ?? null) : null };
}

/** Hosts that lose packets, worst share first. */
export function losing(losses: readonly Loss[]): readonly (Loss & { share: number })[] {
  return losses
    .map((loss) => ({ ...loss, share: loss.sent > 0 ? loss.retransmitted / loss.sent : 0 }))
    .filter((loss) => loss.retransmitted >= LOSS_SEGMENTS_MIN && loss.share >= LOSS_SHARE_WARNING)
    .sort((a, b) => b.share - a.share);
}

export interface Context {
  /** The numbers are those of a filter, so "nothing" is only nothing in it. */
  readonly filtered: boolean;
  readonly rangeFromMs: number;
  readonly nowMs: number;
  readonly zone: Zone;
  readonly hostHref: (host: string) => string;
  readonly filterHref: (key: string, value: string) => string;
}

export interface FleetFacts {
  readonly hosts: readonly Host[];
  readonly losses: readonly Loss[];
  readonly blame: readonly Blame[];
  /** Share of segments retransmitted by the losing hosts together, per step, and each step's start. */
  readonly lossShares: readonly (number | null)[];
  readonly stepStartMs: (index: number) => number;
  readonly failures: readonly Failures[];
}

export function fleetSentence(facts: FleetFacts, context: Context): Sentence {
  const { hosts } = facts;
  const reporting = hosts.filter((host) => host.state === "reporting");
  const away = hosts.filter((host) => host.state === "offline" || host.state === "late");
  const parts: Part[] = [{ text: reporting.length === 1 ? "1 host reports. " : `${reporting.length} hosts report. ` }];

  const lossy = losing(facts.losses).filter((loss) => reporting.some((host) => host.name === loss.host));
  if (lossy.length > 0) {
    const over = isOver(facts.lossShares);
    const only = lossy.length === 1 ? lossy[0] : undefined;
    const critical = lossy.some((loss) => loss.share >= LOSS_SHARE_CRITICAL);
    if (only) parts.push({ text: only.host, href: context.hostHref(only.host) }, { text: " " });
    parts.push({
      text: only ? (over ? "lost packets" : "loses packets") : `${lossy.length} ${over ? "lost" : "lose"} packets`,
      tone: critical ? "critical" : "warning",
    });
    parts.push(...lossDetail(lossy, facts, context));
  }
  parts.push(...failuresDetail(facts.failures, context));
  const first = away[0];
  if (first) {
    parts.push({ text: away.length === 1 ? "" : `${away.length} do not report, ` }, { text: first.name, href: context.hostHref(first.name) });
    const since = first.stateSince ?? first.lastSeenAt;
    parts.push({ text: away.length === 1 ? " does not report" : " among them", tone: "warning" });
    parts.push({ text: since ? ` since ${formatMoment(Date.parse(since), context.nowMs, context.zone)}. ` : ". " });
  }
  if (parts.length === 1)
    return [
      {
        text: `${(parts[0] as Part).text}Nothing stands out ${scope(context)}since ${formatMoment(context.rangeFromMs, context.nowMs, context.zone)}.`,
      },
    ];
  return trimmed(parts);
}

/** Whether what the range's total shows is no longer so: the last known steps are fine. */
function isOver(lossShares: readonly (number | null)[]): boolean {
  return lossShares.some((share) => share !== null) && onset(lossShares, LOSS_SHARE_WARNING) === null;
}

function lossDetail(lossy: readonly (Loss & { share: number })[], facts: FleetFacts, context: Context): Part[] {
  const parts: Part[] = [];
  const to = leading(facts.blame, (b) => (b.peer === OTHER ? null : endpoint(b.peer, b.peerPort)));
  if (to && to.share >= 0.5) parts.push({ text: " to " }, { text: to.name, href: context.filterHref("peer", to.first.peer) });
  const began = onset(facts.lossShares, LOSS_SHARE_WARNING);
  if (began) {
    const at = formatMoment(facts.stepStartMs(began.index), context.nowMs, context.zone);
    parts.push({ text: began.index === 0 ? ` since before ${at}` : ` since ${at}` });
  }
  const sent = lossy.reduce((sum, loss) => sum + loss.sent, 0);
  const retransmitted = lossy.reduce((sum, loss) => sum + loss.retransmitted, 0);
  parts.push({ text: `: retransmits ${formatRatio(retransmitted / sent)}` });
  if (began && began.usual !== null) parts.push({ text: `, usually ${formatRatio(began.usual)}` });
  const who = leading(facts.blame, (b) => (b.process === OTHER ? null : b.process));
  if (who)
    parts.push(
      { text: ". It is " },
      { text: who.name, href: context.filterHref("process", who.first.process) },
      { text: ` (${formatRatio(who.share)})` },
    );
  parts.push({ text: ". " });
  return parts;
}

function failuresDetail(failures: readonly Failures[], context: Context): Part[] {
  const worst = [...failures].filter((f) => f.process !== OTHER).sort((a, b) => b.count - a.count)[0];
  if (!worst || worst.count < FAILURES_MIN) return [];
  return [
    { text: worst.process || "An unknown process", href: context.filterHref("process", worst.process) },
    { text: " fails to connect", tone: "warning" },
    { text: " to " },
    { text: endpoint(worst.peer, worst.peerPort), href: context.filterHref("peer", worst.peer) },
    { text: `: ${worst.errno} ${formatRate(worst.perSecond)}. ` },
  ];
}

export function endpoint(peer: string, port: string): string {
  if (peer === "" || peer === OTHER) return peer === OTHER ? "other peers" : "unknown peer";
  if (port === "" || port === "ephemeral" || port === OTHER) return peer;
  return peer.includes(":") ? `[${peer}]:${port}` : `${peer}:${port}`;
}

/** The name that holds the largest share of the segments; overflow rows are nobody. */
function leading(blame: readonly Blame[], name: (b: Blame) => string | null): { name: string; share: number; first: Blame } | null {
  const total = blame.reduce((sum, b) => sum + b.segments, 0);
  if (total === 0) return null;
  const sums = new Map<string, { sum: number; first: Blame }>();
  for (const b of blame) {
    const key = name(b);
    if (key === null) continue;
    const entry = sums.get(key);
    sums.set(key, { sum: (entry?.sum ?? 0) + b.segments, first: entry?.first ?? b });
  }
  const [best] = [...sums].sort((a, b) => b[1].sum - a[1].sum);
  return best ? { name: best[0] || "an unknown process", share: best[1].sum / total, first: best[1].first } : null;
}

export interface HostFacts {
  readonly host: Host;
  readonly loss: Loss | null;
  readonly blame: readonly Blame[];
  readonly lossShares: readonly (number | null)[];
  readonly stepStartMs: (index: number) => number;
  readonly failures: readonly Failures[];
}

/** What follows the host's name in its headline: "is losing packets to db-7:5432 since 13:51". */
export function hostSentence(facts: HostFacts, context: Context): Sentence {
  const { host } = facts;
  if (host.state === "waiting") return [{ text: "has not delivered its first window yet", tone: "quiet" }];
  if (host.state === "offline" || host.state === "late") {
    const since = host.stateSince ?? host.lastSeenAt;
    const text = host.state === "late" ? "is late" : "does not report";
    return [
      { text, tone: "warning" },
      { text: since ? ` since ${formatMoment(Date.parse(since), context.nowMs, context.zone)}` : "", tone: "quiet" },
    ];
  }
  const [lossy] = facts.loss ? losing([facts.loss]) : [];
  const parts: Part[] = [];
  if (lossy) {
    parts.push({
      text: isOver(facts.lossShares) ? "lost packets" : "is losing packets",
      tone: lossy.share >= LOSS_SHARE_CRITICAL ? "critical" : "warning",
    });
    const detail = lossDetail([lossy], { hosts: [host], losses: [], ...facts }, context);
    parts.push(...detail.map((part) => ({ tone: "quiet" as const, ...part })));
  }
  const failures = failuresDetail(facts.failures, context);
  if (parts.length > 0) parts.push(...failures.map((part) => ({ tone: "quiet" as const, ...part })));
  else if (failures.length > 0) parts.push({ text: "reports. ", tone: "quiet" }, ...failures);
  if (parts.length === 0)
    return [
      { text: `reports, nothing stands out ${scope(context)}since ${formatMoment(context.rangeFromMs, context.nowMs, context.zone)}`, tone: "quiet" },
    ];
  return trimmed(parts);
}

function scope(context: Context): string {
  return context.filtered ? "within the filter " : "";
}

function trimmed(parts: readonly Part[]): Sentence {
  return parts.filter((part) => part.text !== "").map((part, i, all) => (i === all.length - 1 ? { ...part, text: part.text.trimEnd() } : part));
}

/** ", 240 × the hour before" when the change is worth a word; empty when it isn't or nothing is known. */
export function change(now: number | null, before: number | null, beforeName: string): string {
  if (now === null || before === null || before <= 0 || now <= 0) return "";
  const factor = now / before;
  if (factor >= 1.2 || factor <= 1 / 1.2) return `, ${formatFactor(factor)} ${beforeName}`;
  return `, as ${beforeName}`;
}
