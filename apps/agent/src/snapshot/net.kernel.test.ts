// SPDX-License-Identifier: Apache-2.0
import { execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { bucketIndex, type WireRow } from "@waggle/signals";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeKernel, kernelTells, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import { parseNetworkCounters } from "../kernel/network-counters.ts";
import { exactMode } from "./window-mode.ts";
import type { KernelSource } from "./window-reader.ts";

const LOOPBACK = "127.0.0.1";
/** Out of the range that the kernel picks from, which ends at 60999. */
const PORT = 61_201;
const TIMEOUT_NS = 5_000_000_000n;

const hasProgram = (name: string): boolean => ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].some((folder) => existsSync(`${folder}/${name}`));
const run = (command: string): string => execFileSync("sh", ["-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** A network namespace with a loopback device, in which port 53 is free and programs use the resolver at 127.0.0.1. */
class Namespace implements Disposable {
  readonly name = `waggle-net-${process.pid}`;

  constructor() {
    run(`ip netns add ${this.name} && ip -n ${this.name} link set lo up`);
    mkdirSync(`/etc/netns/${this.name}`, { recursive: true });
    writeFileSync(`/etc/netns/${this.name}/resolv.conf`, `nameserver ${LOOPBACK}\n`);
  }

  /** Runs a command in it, and says nothing about how it ended. */
  exec(command: readonly string[]): Promise<void> {
    return new Promise((resolve) => execFile("ip", ["netns", "exec", this.name, ...command], { timeout: 20_000 }, () => resolve()));
  }

  udpCounter(name: string): number {
    return Number(parseNetworkCounters(run(`ip netns exec ${this.name} cat /proc/net/snmp`), "Udp").get(name));
  }

  [Symbol.dispose](): void {
    try {
      run(`ip netns del ${this.name}`);
    } catch {
      // It was never made.
    }
    rmSync(`/etc/netns/${this.name}`, { recursive: true, force: true });
  }
}

/** Starts of each softirq on all CPUs since boot. */
function softirqStarts(): Map<string, number> {
  return new Map(
    [...readFileSync("/proc/softirqs", "utf8").matchAll(/^\s*(\w+):(.*)$/gm)].map(([, name, counts]) => [
      name as string,
      (counts as string)
        .trim()
        .split(/\s+/)
        .reduce((sum, count) => sum + Number(count), 0),
    ]),
  );
}

/** Those of the family that programs count. */
const signals = ["packet_drops", "softirq_latency", "udp_traffic", "dns_queries"];

describeKernel("the net family", () => {
  let source: KernelSource;
  let workload: Workload;
  let namespace: Namespace;
  const inside = (comm: string, verb: string, port: number, ...args: (string | number)[]): Promise<void> =>
    workload.run(comm, verb, [LOOPBACK, port, ...args], namespace.name);

  beforeAll(async () => {
    workload = new Workload("udp-workload.c");
    namespace = new Namespace();
    source = await openSource({ signals });
  });
  afterAll(() => {
    source?.close();
    workload?.[Symbol.dispose]();
    namespace?.[Symbol.dispose]();
  });

  it("counts 1,009 datagrams to a port nobody listens on as NO_SOCKET, and the kernel counts them too", async () => {
    await source.readWindow();
    const before = namespace.udpCounter("NoPorts");
    await inside("wgl-noport", "send", PORT, 1009, 10);
    const window = await source.readWindow();
    expect(namespace.udpCounter("NoPorts") - before).toBe(1009);
    const rows = rowsOf(window, "packet_drops", { drop_reason: "NO_SOCKET", protocol: "udp" });
    expect(rows).toMatchObject([{ process: "", packets: 1009n }]);
    // At least header and payload of UDP.
    expect(Number(rows[0]?.bytes)).toBeGreaterThanOrEqual(1009 * 18);
  });

  it("counts what finds a socket full as SOCKET_RCVBUFF of the process that does not read, as often as the kernel", async () => {
    const deaf = await workload.start("wgl-deaf", "deaf", [LOOPBACK, PORT], namespace.name);
    await source.readWindow();
    const before = namespace.udpCounter("RcvbufErrors");
    await inside("wgl-talker", "send", PORT, 1009, 100);
    const window = await source.readWindow();
    const lost = namespace.udpCounter("RcvbufErrors") - before;
    expect(lost).toBeGreaterThan(900);
    const process = kernelTells.dropSockets ? "wgl-deaf" : "";
    expect(rowsOf(window, "packet_drops", { drop_reason: "SOCKET_RCVBUFF", process })).toMatchObject([{ protocol: "udp", packets: BigInt(lost) }]);
    expect(rowsOf(window, "udp_traffic", { process: "wgl-talker" })).toMatchObject([{ datagrams_sent: 1009n, bytes_sent: 100_900n }]);
    expect(rowsOf(window, "udp_traffic", { process: "wgl-deaf" })).toEqual([]);
    await deaf.finish();
  });

  it.runIf(kernelTells.dropSockets)("knows whose socket was full that was made in the window and never moved a datagram", async () => {
    await source.readWindow();
    const deaf = await workload.start("wgl-deaf-new", "deaf", [LOOPBACK, PORT + 1], namespace.name);
    const before = namespace.udpCounter("RcvbufErrors");
    await inside("wgl-talker", "send", PORT + 1, 1009, 100);
    const window = await source.readWindow();
    const lost = namespace.udpCounter("RcvbufErrors") - before;
    expect(lost).toBeGreaterThan(900);
    expect(rowsOf(window, "packet_drops", { drop_reason: "SOCKET_RCVBUFF" })).toMatchObject([{ process: "wgl-deaf-new", packets: BigInt(lost) }]);
    await deaf.finish();
  });

  it.runIf(hasProgram("nft"))("counts 503 datagrams that a firewall takes away as NETFILTER_DROP", async () => {
    run(
      `ip netns exec ${namespace.name} nft 'add table inet waggle; add chain inet waggle in { type filter hook input priority 0; }; add rule inet waggle in udp dport ${PORT} drop'`,
    );
    await source.readWindow();
    await inside("wgl-filtered", "send", PORT, 503, 10);
    const window = await source.readWindow();
    run(`ip netns exec ${namespace.name} nft delete table inet waggle`);
    expect(sumOf(rowsOf(window, "packet_drops", { drop_reason: "NETFILTER_DROP", protocol: "udp" }), "packets")).toBe(503);
  });

  it("calls nothing a drop that was received", async () => {
    await source.readWindow();
    await inside("wgl-received", "exchange", PORT, "sendto", "recvfrom", 1009, 10);
    const window = await source.readWindow();
    expect(rowsOf(window, "packet_drops", { process: "wgl-received" })).toEqual([]);
    expect(rowsOf(window, "packet_drops", { drop_reason: "CONSUMED" })).toEqual([]);
    expect(rowsOf(window, "packet_drops", { drop_reason: "NOT_DROPPED_YET" })).toEqual([]);
  });

  it.each([
    ["sendto", "recvfrom", LOOPBACK],
    ["sendmsg", "recvmsg", LOOPBACK],
    ["sendmmsg", "recvmmsg", LOOPBACK],
    ["send", "recvfrom", LOOPBACK],
    ["write", "recvmsg", LOOPBACK],
    ["writev", "recvmmsg", LOOPBACK],
    ["sendmmsg", "recvfrom", "::1"],
    ["write", "recvmsg", "::1"],
  ])("counts 1,009 datagrams by %s and %s to %s once on each side, with both peers", async (send, receive, host) => {
    await source.readWindow();
    const before = [namespace.udpCounter("OutDatagrams"), namespace.udpCounter("InDatagrams")];
    await workload.run("wgl-udp", "exchange", [host, PORT, send, receive, 1009, 7], namespace.name);
    const rows = rowsOf(await source.readWindow(), "udp_traffic", { process: "wgl-udp" });
    expect(rows).toHaveLength(2);
    const none = { datagrams_sent: 0n, bytes_sent: 0n, datagrams_received: 0n, bytes_received: 0n };
    const sent = { ...none, peer: host, peer_port: String(PORT), port: "ephemeral", datagrams_sent: 1009n, bytes_sent: 7063n };
    const received = { ...none, peer: host, peer_port: "ephemeral", port: String(PORT), datagrams_received: 1009n, bytes_received: 7063n };
    expect(rows).toContainEqual(expect.objectContaining(sent));
    expect(rows).toContainEqual(expect.objectContaining(received));
    if (host === LOOPBACK)
      expect([namespace.udpCounter("OutDatagrams"), namespace.udpCounter("InDatagrams")]).toEqual(before.map((count) => count + 1009));
  });

  it("agrees with the kernel's InDatagrams and OutDatagrams of its own namespace, and leaves other namespaces out", async () => {
    const windows = [await source.readWindow()];
    await workload.run("wgl-own", "exchange", [LOOPBACK, PORT, "sendto", "recvmsg", 1009, 7]);
    await workload.run("wgl-own", "exchange", ["::1", PORT, "sendmmsg", "recvmmsg", 503, 7]);
    await inside("wgl-other", "exchange", PORT, "sendto", "recvmsg", 10_007, 7);
    windows.push(await source.readWindow(), await source.readWindow());
    for (const quantity of ["UdpInDatagrams", "UdpOutDatagrams"]) {
      const rows = windows.slice(1).flatMap(({ accounting }) => accounting.filter((row) => row.quantity === quantity));
      const [counted, kernel] = [rows.reduce((sum, row) => sum + row.counted, 0n), rows.reduce((sum, row) => sum + row.kernel, 0n)];
      expect(counted, quantity).toBe(kernel);
      expect(counted).toBeGreaterThanOrEqual(1512n);
      expect(counted).toBeLessThan(10_007n);
    }
  });

  it("leaves the peer empty where the call does not say it and the socket has none", async () => {
    await source.readWindow();
    await inside("wgl-anyone", "exchange", PORT, "sendto", "read", 23, 7);
    const rows = rowsOf(await source.readWindow(), "udp_traffic", { process: "wgl-anyone", port: String(PORT) });
    expect(rows).toMatchObject([{ peer: "", datagrams_received: 23n, bytes_received: 161n }]);
  });

  it("counts a datagram once that was looked at 23 times, and no receive that failed", async () => {
    await source.readWindow();
    await inside("wgl-peek", "peek", PORT, 23);
    const rows = rowsOf(await source.readWindow(), "udp_traffic", { process: "wgl-peek" });
    expect([sumOf(rows, "datagrams_received"), sumOf(rows, "datagrams_sent")]).toEqual([1, 1]);
  });

  it("does not count what a raw socket sends as datagrams", async () => {
    await source.readWindow();
    await inside("wgl-raw", "send-raw", 4001, 13, 100);
    expect(rowsOf(await source.readWindow(), "udp_traffic", { process: "wgl-raw" })).toEqual([]);
  });

  it("does not count TCP or Unix sockets as datagrams", async () => {
    await source.readWindow();
    execFileSync("python3", [
      "-c",
      "import socket\na,b=socket.socketpair(socket.AF_UNIX,socket.SOCK_DGRAM)\nopen('/proc/self/comm','w').write('wgl-unix')\nfor i in range(23): a.send(b'x'); b.recv(9)",
    ]);
    expect(rowsOf(await source.readWindow(), "udp_traffic", { process: "wgl-unix" })).toEqual([]);
  });

  it("counts what the kernel counts as started softirqs, each with a latency", async () => {
    const before = softirqStarts();
    await source.readWindow();
    const inner = softirqStarts();
    await inside("wgl-softirq", "exchange", PORT, "sendto", "recvfrom", 10_007, 7);
    const innerEnd = softirqStarts();
    const window = await source.readWindow();
    const after = softirqStarts();
    const rows = rowsOf(window, "softirq_latency");
    const counted = (name: string): number =>
      sumOf(
        rows.filter(({ softirq }) => softirq === name),
        "count",
      );
    const rose = (from: Map<string, number>, to: Map<string, number>, name: string): number => (to.get(name) ?? 0) - (from.get(name) ?? 0);
    for (const name of before.keys()) expect(counted(name), name).toBeLessThanOrEqual(rose(before, after, name));
    expect(rose(inner, innerEnd, "NET_RX")).toBeGreaterThan(0);
    for (const row of rows) {
      expect(before.has(row.softirq as string)).toBe(true);
      expect(((row.c ?? []) as bigint[]).reduce((sum, count) => sum + count, 0n)).toBe(row.count);
    }
    // One row for each, whatever CPU it was on.
    expect(new Set(rows.map(({ softirq }) => softirq)).size).toBe(rows.length);
    // Starts without a raise of their own are few: nearly all are counted.
    expect(counted("NET_RX")).toBeGreaterThan(rose(inner, innerEnd, "NET_RX") * 0.9);
  });

  const latenciesOf = (row: WireRow | undefined): number[] => [...((row?.k ?? []) as number[])];

  it.each([
    ["sendto", "recvfrom"],
    ["sendmsg", "recvmsg"],
    ["sendmmsg", "recvmmsg"],
    ["send", "recv"],
    ["write", "read"],
    ["send", "readv"],
    // Not connected, and received without asking from whom.
    ["sendto", "recv"],
    ["sendmmsg", "read"],
    ["sendmsg", "readv"],
  ])("counts 101 queries by %s and %s, each with the time until its answer", async (send, receive) => {
    const server = await workload.start("wgl-resolver", "serve-dns", [LOOPBACK, 53], namespace.name);
    await source.readWindow();
    await inside("wgl-ask", "ask", 53, send, receive, "noerror.Waggle.TEST", 28, 101);
    const window = await source.readWindow();
    await server.finish();
    const rows = rowsOf(window, "dns_queries", { process: "wgl-ask" });
    expect(rows).toMatchObject([{ resolver: LOOPBACK, query_name: "noerror.waggle.test", query_type: "AAAA", rcode: "NOERROR", count: 101n }]);
    expect(latenciesOf(rows[0])[0]).toBeGreaterThanOrEqual(bucketIndex(rows[0]?.min as bigint));
    expect(Number(rows[0]?.max)).toBeLessThan(Number(TIMEOUT_NS));
    // The resolver asks nobody.
    expect(rowsOf(window, "dns_queries", { process: "wgl-resolver" })).toEqual([]);
  });

  it("tells answers apart, by name and by code", async () => {
    const server = await workload.start("wgl-resolver", "serve-dns", [LOOPBACK, 53], namespace.name);
    await source.readWindow();
    await inside("wgl-codes", "ask", 53, "write", "recv", "nxdomain.waggle.test", 15, 13);
    await inside("wgl-codes", "ask", 53, "write", "recv", "servfail.waggle.test", 1, 17);
    await inside("wgl-codes", "ask", 53, "write", "recv", String.raw`odd\046la\000bel\255.waggle.test`, 65, 19);
    await inside("wgl-codes", "ask", 53, "write", "recv", "", 2, 23);
    await inside("wgl-codes", "ask", 53, "write", "recv", [1, 2, 3, 4].map((n) => String(n).repeat(62)).join("."), 1, 29);
    const rows = rowsOf(await source.readWindow(), "dns_queries", { process: "wgl-codes" });
    await server.finish();
    const found = rows.map(({ query_name, query_type, rcode, count }) => [query_name, query_type, rcode, Number(count)]);
    expect(found.sort((a, b) => Number(a[3]) - Number(b[3]))).toEqual([
      ["nxdomain.waggle.test", "MX", "NXDOMAIN", 13],
      ["servfail.waggle.test", "A", "SERVFAIL", 17],
      [String.raw`odd\.la\000bel\255.waggle.test`, "HTTPS", "NOERROR", 19],
      [".", "NS", "NOERROR", 23],
      [`${"1".repeat(62)}.${"2".repeat(62)}.${"3".repeat(62)}.${"4".repeat(51)}…`, "A", "NOERROR", 29],
    ]);
  });

  it("counts 11 queries over one TCP connection, with the length in a buffer of its own or not, and 13 that one call sends and one receives", async () => {
    const server = await workload.start("wgl-resolver", "serve-dns", [LOOPBACK, 53], namespace.name);
    await source.readWindow();
    await inside("wgl-tcp-1", "ask-tcp", 53, "noerror.waggle.test", 11, 1);
    await inside("wgl-tcp-2", "ask-tcp", 53, "servfail.waggle.test", 7, 2);
    await inside("wgl-tcp-3", "ask-tcp", 53, "nxdomain.waggle.test", 5, 3);
    await inside("wgl-tcp-many", "ask-pipelined", 53, "noerror.waggle.test", 13);
    const window = await source.readWindow();
    await server.finish();
    expect(rowsOf(window, "dns_queries", { process: "wgl-tcp-1" })).toMatchObject([{ rcode: "NOERROR", resolver: LOOPBACK, count: 11n }]);
    expect(rowsOf(window, "dns_queries", { process: "wgl-tcp-2" })).toMatchObject([{ rcode: "SERVFAIL", resolver: LOOPBACK, count: 7n }]);
    expect(rowsOf(window, "dns_queries", { process: "wgl-tcp-3" })).toMatchObject([{ rcode: "NXDOMAIN", resolver: LOOPBACK, count: 5n }]);
    expect(rowsOf(window, "dns_queries", { process: "wgl-tcp-many" })).toMatchObject([{ rcode: "NOERROR", resolver: LOOPBACK, count: 13n }]);
    expect(rowsOf(window, "udp_traffic", { process: "wgl-tcp-1" })).toEqual([]);
  });

  it("counts 7 queries that nobody answers as timeouts once they are 5 s old, and not before or again", async () => {
    const server = await workload.start("wgl-resolver", "serve-dns", [LOOPBACK, 53], namespace.name);
    await source.readWindow();
    await inside("wgl-never", "ask", 53, "sendto", "none", "never.waggle.test", 1, 7);
    const early = await source.readWindow();
    await sleep(5_000);
    const [due, later] = [await source.readWindow(), await source.readWindow()];
    await server.finish();
    expect(rowsOf(early, "dns_queries", { process: "wgl-never" })).toEqual([]);
    expect(rowsOf(due, "dns_queries", { process: "wgl-never" })).toMatchObject([
      { query_name: "never.waggle.test", resolver: LOOPBACK, query_type: "A", rcode: "timeout", count: 7n, min: TIMEOUT_NS, max: TIMEOUT_NS },
    ]);
    expect(rowsOf(later, "dns_queries", { process: "wgl-never" })).toEqual([]);
  });

  it("counts a query that was sent 5 times under one id as one", async () => {
    const server = await workload.start("wgl-resolver", "serve-dns", [LOOPBACK, 53], namespace.name);
    await source.readWindow();
    await inside("wgl-again", "ask-again", 53, "noerror.waggle.test", 5);
    const window = await source.readWindow();
    await server.finish();
    expect(rowsOf(window, "dns_queries", { process: "wgl-again" })).toMatchObject([{ rcode: "NOERROR", count: 1n }]);
    expect(rowsOf(window, "udp_traffic", { process: "wgl-again" })).toMatchObject([{ peer_port: "53", datagrams_sent: 5n, datagrams_received: 1n }]);
  });

  it("tells 11 pairs of questions apart that wait under one id, and reads 7 that lie in several buffers", async () => {
    const server = await workload.start("wgl-resolver", "serve-dns", [LOOPBACK, 53], namespace.name);
    await source.readWindow();
    await inside("wgl-siblings", "ask-siblings", 53, "noerror.waggle.test", "nxdomain.waggle.test", 11);
    await inside("wgl-vectors", "ask-vectors", 53, "servfail.waggle.test", 7);
    const window = await source.readWindow();
    await server.finish();
    const pairs = rowsOf(window, "dns_queries", { process: "wgl-siblings" }).map(({ query_name, rcode, count }) => [query_name, rcode, count]);
    expect(pairs.sort()).toEqual([
      ["noerror.waggle.test", "NOERROR", 11n],
      ["nxdomain.waggle.test", "NXDOMAIN", 11n],
    ]);
    expect(rowsOf(window, "dns_queries", { process: "wgl-vectors" })).toMatchObject([{ rcode: "SERVFAIL", resolver: LOOPBACK, count: 7n }]);
  });

  it("calls no query a timeout that waited while calls were sampled, as its answer may have been one that was passed over", async () => {
    const server = await workload.start("wgl-resolver", "serve-dns", [LOOPBACK, 53], namespace.name);
    await source.readWindow();
    await inside("wgl-shed", "ask", 53, "sendto", "none", "never.waggle.test", 1, 7);
    source.setSavings({ ...exactMode, sampling: new Map([["calls", { shift: 3, reason: "a test asks for it" }]]) });
    const windows = [await source.readWindow()];
    await inside("wgl-shed", "ask", 53, "sendto", "recv", "noerror.waggle.test", 1, 101);
    source.setSavings(exactMode);
    windows.push(await source.readWindow());
    await sleep(5_000);
    windows.push(await source.readWindow(), await source.readWindow());
    await server.finish();
    const states = windows.map(({ coverage }) => coverage.find(({ signal }) => signal === "dns_queries")?.state);
    expect(states).toEqual(["exact", "shed", "exact", "exact"]);
    expect(rowsOf(windows, "dns_queries", { process: "wgl-shed" })).toEqual([]);
  });

  it.runIf(hasProgram("dnsmasq") && hasProgram("dig"))(
    "sees what dig, getent and c-ares ask a real resolver",
    async () => {
      const zone = ["--address=/known.test/10.1.2.3", "--address=/known.test/fd00::3", "--local=/nx.test/"];
      const options = [
        "--no-daemon",
        "--no-resolv",
        "--no-hosts",
        "--conf-file=/dev/null",
        `--listen-address=${LOOPBACK}`,
        "--bind-interfaces",
        ...zone,
      ];
      const dnsmasq = spawn("ip", ["netns", "exec", namespace.name, "dnsmasq", ...options, "--pid-file="], { stdio: ["ignore", "ignore", "pipe"] });
      await new Promise((resolve) => dnsmasq.stderr.once("data", resolve));
      await source.readWindow();
      await namespace.exec(["getent", "ahosts", "Glibc.Known.Test"]);
      await namespace.exec(["dig", "udp.known.test", `@${LOOPBACK}`]);
      await namespace.exec(["dig", "+tcp", "tcp.known.test", "AAAA", `@${LOOPBACK}`]);
      await namespace.exec(["dig", "missing.nx.test", "MX", `@${LOOPBACK}`]);
      await namespace.exec([process.execPath, "-e", "require('dns').resolve4('cares.known.test', () => undefined)"]);
      const rows = rowsOf(await source.readWindow(), "dns_queries", { resolver: LOOPBACK });
      const ended = new Promise((resolve) => dnsmasq.once("exit", resolve));
      dnsmasq.kill();
      await ended;
      const found = rows.map(({ process: name, query_name, query_type, rcode, count }) =>
        [name, query_name, query_type, rcode, Number(count)].join(" "),
      );
      expect(found.sort()).toEqual([
        "dig missing.nx.test MX NXDOMAIN 1",
        "dig tcp.known.test AAAA NOERROR 1",
        "dig udp.known.test A NOERROR 1",
        "getent glibc.known.test A NOERROR 1",
        "getent glibc.known.test AAAA NOERROR 1",
        "node cares.known.test A NOERROR 1",
      ]);
    },
    60_000,
  );

  it("says that its signals are exact and drops nothing", async () => {
    const window = await source.readWindow();
    const states = window.coverage.filter(({ signal }) => signals.includes(signal));
    expect(states).toHaveLength(signals.length);
    const inexact = states.filter(({ state, reason }) => state !== "exact" || reason !== "");
    expect(inexact.map(({ signal, state }) => ({ signal, state }))).toEqual(
      kernelTells.dropSockets ? [] : [{ signal: "packet_drops", state: "fallback" }],
    );
    expect(window.drops.filter(({ reason }) => /packet|softirq|udp|dns/.test(reason))).toEqual([]);
  });
});

describeKernel("more DNS queries than can wait", () => {
  it("are counted as what could not be followed: 3 of 23 time out, 20 are dropped", async () => {
    using workload = new Workload("udp-workload.c");
    using namespace = new Namespace();
    using source = await openSource({ signals, mapEntries: { dns_in_flight: 3 } });
    const server = await workload.start("wgl-resolver", "serve-dns", [LOOPBACK, 53], namespace.name);
    await source.readWindow();
    await workload.run("wgl-flood", "ask", [LOOPBACK, 53, "sendto", "none", "never.waggle.test", 1, 23], namespace.name);
    const window = await source.readWindow();
    await sleep(5_000);
    const later = await source.readWindow();
    await server.finish();
    expect(window.drops).toContainEqual({ reason: "dns_in_flight_full", count: 20n });
    expect(rowsOf(later, "dns_queries", { process: "wgl-flood", rcode: "timeout" })).toMatchObject([{ count: 3n }]);
  });
});
