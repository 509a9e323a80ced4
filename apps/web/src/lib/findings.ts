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
/** A path of one process needs this many segments in the range before its share of retransmits is told in a headline. */
export const PATH_SEGMENTS_MIN = 200;
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

/** One process sending to one peer over the range, and how it went step by step. */
export interface Path {
  readonly host: string;
  readonly process: string;
  readonly peer: string;
  readonly peerPort: string;
  readonly sent: number;
  readonly retransmitted: number;
  /** Share of segments sent again per step; empty while not asked for. */
  readonly shares: readonly (number | null)[];
}

export interface Failures {
  /** Named where several hosts are on one page. */
  readonly host?: string;
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
  const usual = before[Math.floor((before.length - 1) / 2)] ?? null;
  // What was mostly so before did not begin there, however it wavers about the threshold.
  if (usual !== null && usual >= threshold * 0.8) return { index: 0, usual: null };
  return { index: begin, usual };
}

/** Hosts that lose packets, worst share first. */
export function losing(losses: readonly Loss[]): readonly (Loss & { share: number })[] {
  return losses
    .map((loss) => ({ ...loss, share: loss.sent > 0 ? loss.retransmitted / loss.sent : 0 }))
    .filter((loss) => loss.retransmitted >= LOSS_SEGMENTS_MIN && loss.share >= LOSS_SHARE_WARNING)
    .sort((a, b) => b.share - a.share);
}

/** Paths that lose packets: those that still do first, then by share. Overflow rows are nobody's path. */
export function losingPaths(paths: readonly Path[]): readonly (Path & { share: number })[] {
  const still = (path: Path): number => (onset(path.shares, LOSS_SHARE_WARNING) === null ? 0 : 1);
  return paths
    .map((path) => ({ ...path, share: path.sent > 0 ? path.retransmitted / path.sent : 0 }))
    .filter((path) => path.process !== OTHER && path.peer !== OTHER && path.peer !== "")
    .filter((path) => path.retransmitted >= LOSS_SEGMENTS_MIN && path.sent >= PATH_SEGMENTS_MIN && path.share >= LOSS_SHARE_WARNING)
    .sort((a, b) => still(b) - still(a) || b.share - a.share);
}

export interface Context {
  /** The numbers are those of a filter, so "nothing" is only nothing in it. */
  readonly filtered: boolean;
  /** Anything at all was reported in the range: without it "nothing stands out" would be a guess. */
  readonly covered: boolean;
  /** Every question behind the sentence was answered. */
  readonly complete: boolean;
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
  /** Paths that may lose packets on hosts that as a whole do not. */
  readonly paths: readonly Path[];
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
  const [path] = losingPaths(facts.paths).filter(
    (path) => reporting.some((host) => host.name === path.host) && !lossy.some((loss) => loss.host === path.host),
  );
  if (path)
    parts.push({ text: path.host, href: context.hostHref(path.host) }, { text: " " }, ...pathDetail(path, "fleet", facts.stepStartMs, context));
  parts.push(...failuresDetail(facts.failures, context));
  parts.push(...awayDetail(away, context));
  if (parts.length === 1 && !context.complete)
    return [{ text: `${(parts[0] as Part).text}Whether anything stands out is not known: a query failed.` }];
  if (parts.length === 1 && !context.covered) return [{ text: `${(parts[0] as Part).text}Nothing was recorded in this range.` }];
  if (parts.length === 1)
    return [
      {
        text: `${(parts[0] as Part).text}Nothing stands out ${scope(context)}${sinceKnown(hosts, context)}.`,
      },
    ];
  return trimmed(parts);
}

function awayDetail(away: readonly Host[], context: Context): Part[] {
  const sinceOf = (host: Host): string => host.stateSince ?? host.lastSeenAt ?? "";
  const first = [...away].sort((a, b) => sinceOf(a).localeCompare(sinceOf(b)))[0];
  if (!first) return [];
  const since = sinceOf(first) === "" ? "" : ` since ${formatMoment(Date.parse(sinceOf(first)), context.nowMs, context.zone)}`;
  const name: Part = { text: first.name, href: context.hostHref(first.name) };
  if (away.length === 1) return [name, { text: " does not report", tone: "warning" }, { text: `${since}. ` }];
  return [{ text: `${away.length} do not report`, tone: "warning" }, { text: ", longest " }, name, { text: `${since === "" ? "" : `,${since}`}. ` }];
}

/** What one losing path does, after the name of its host: "is losing packets to db-7:5432 since 13:51: pgbouncer retransmits 8.1 %". */
function pathDetail(path: Path & { share: number }, on: "fleet" | "host", stepStartMs: (index: number) => number, context: Context): Part[] {
  const began = onset(path.shares, LOSS_SHARE_WARNING);
  const over = began === null && path.shares.some((share) => share !== null);
  const at = began ? formatMoment(stepStartMs(began.index), context.nowMs, context.zone) : "";
  return [
    {
      text: over ? "lost packets" : on === "host" ? "is losing packets" : "loses packets",
      tone: path.share >= LOSS_SHARE_CRITICAL ? "critical" : "warning",
    },
    { text: " to " },
    { text: endpoint(path.peer, path.peerPort), href: context.filterHref("peer", path.peer) },
    { text: began ? (began.index === 0 ? ` since before ${at}: ` : ` since ${at}: `) : ": " },
    { text: path.process || "an unknown process", href: context.filterHref("process", path.process) },
    {
      text: ` ${over ? "retransmitted" : "retransmits"} ${formatRatio(path.share)}${began && began.usual !== null ? `, usually ${formatRatio(began.usual)}` : ""}. `,
    },
  ];
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

/** Who fails to connect most, if it is worth a word. */
export function worstFailure(failures: readonly Failures[]): Failures | null {
  const worst = [...failures].filter((f) => f.process !== OTHER && f.host !== OTHER).sort((a, b) => b.count - a.count)[0];
  return worst && worst.count >= FAILURES_MIN ? worst : null;
}

function failuresDetail(failures: readonly Failures[], context: Context): Part[] {
  const worst = worstFailure(failures);
  if (!worst) return [];
  return [
    { text: worst.process || "An unknown process", href: context.filterHref("process", worst.process) },
    { text: " fails to connect", tone: "warning" },
    { text: " to " },
    { text: endpoint(worst.peer, worst.peerPort), href: context.filterHref("peer", worst.peer) },
    ...(worst.host === undefined ? [] : [{ text: " on " }, { text: worst.host, href: context.hostHref(worst.host) }]),
    { text: `: ${worst.errno === "" ? "" : `${worst.errno} `}${formatRate(worst.perSecond)}. ` },
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
  readonly paths: readonly Path[];
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
  const [total] = facts.loss ? losing([facts.loss]) : [];
  const [worst] = losingPaths(facts.paths);
  // The host's total hides one bad path among many good ones; it is told where no single path accounts for it.
  const path = worst && (!total || (worst.share >= total.share * 2 && worst.retransmitted >= total.retransmitted / 2)) ? worst : null;
  const lossy = path ? null : total;
  const parts: Part[] = [];
  if (lossy) {
    parts.push({
      text: isOver(facts.lossShares) ? "lost packets" : "is losing packets",
      tone: lossy.share >= LOSS_SHARE_CRITICAL ? "critical" : "warning",
    });
    const detail = lossDetail([lossy], { hosts: [host], losses: [], ...facts }, context);
    parts.push(...detail.map((part) => ({ tone: "quiet" as const, ...part })));
  }
  if (path) parts.push(...pathDetail(path, "host", facts.stepStartMs, context).map((part) => ({ tone: "quiet" as const, ...part })));
  const failures = failuresDetail(facts.failures, context);
  if (parts.length > 0) parts.push(...failures.map((part) => ({ tone: "quiet" as const, ...part })));
  else if (failures.length > 0) parts.push({ text: "reports. ", tone: "quiet" }, ...failures);
  if (parts.length === 0 && !context.complete) return [{ text: "reports; whether anything stands out is not known: a query failed", tone: "quiet" }];
  if (parts.length === 0 && !context.covered) return [{ text: "reports, but nothing was recorded in this range", tone: "quiet" }];
  if (parts.length === 0) return [{ text: `reports, nothing stands out ${scope(context)}${sinceKnown([host], context)}`, tone: "quiet" }];
  return trimmed(parts);
}

/** Of the time before the first of the hosts was enrolled nobody can say anything. */
function sinceKnown(hosts: readonly Host[], { rangeFromMs, nowMs, zone }: Context): string {
  const enrolledMs = Math.min(...hosts.map((host) => Date.parse(host.enrolledAt)));
  return `since ${formatMoment(enrolledMs > rangeFromMs ? Math.min(enrolledMs, nowMs) : rangeFromMs, nowMs, zone)}`;
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
