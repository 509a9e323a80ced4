// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { catalogue } from "@waggle/signals";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeKernel, kernelTells, openSource, rowsOf, signalsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import { NamespacePair } from "../../test/network-namespaces.ts";
import type { KernelSource, WindowData } from "./window-reader.ts";

const LOOPBACK = "127.0.0.1";
const PORT = 47_123;

describeKernel("tcp connections", () => {
  let source: KernelSource;
  let workload: Workload;

  beforeAll(async () => {
    workload = new Workload();
    source = await openSource();
    await workload.start("wgl-server", "serve", [LOOPBACK, PORT]);
  });
  afterAll(() => {
    source?.close();
    workload?.[Symbol.dispose]();
  });

  it("counts 23 connections on both sides, each under its own process", async () => {
    await source.readWindow();
    await workload.run("wgl-client", "connect", [LOOPBACK, PORT, 23]);
    await sleep(50);
    const window = await source.readWindow();
    const client = rowsOf(window, "tcp_connections", { process: "wgl-client" });
    expect(client).toMatchObject([
      { role: "client", peer: LOOPBACK, peer_port: String(PORT), port: "ephemeral", opened: 23n, closed: 23n, bytes_sent: 23n, active: 0n },
    ]);
    const server = rowsOf(window, "tcp_connections", { process: "wgl-server" });
    expect(server).toMatchObject([
      { role: "server", peer: LOOPBACK, peer_port: "ephemeral", port: String(PORT), opened: 23n, closed: 23n, bytes_received: 23n, bytes_sent: 0n },
    ]);
    const latency = rowsOf(window, "tcp_connect_latency", { process: "wgl-client", peer_port: String(PORT) });
    expect(sumOf(latency, "count")).toBe(23);
    expect(Number(latency[0]?.sum)).toBeGreaterThan(0);
    expect(sumOf(rowsOf(window, "tcp_rtt", { process: "wgl-client" }), "count")).toBe(23);
    expect(sumOf(rowsOf(window, "tcp_rtt", { process: "wgl-server", role: "server" }), "count")).toBe(23);
  });

  it("counts 23 refused connects as 23 ECONNREFUSED and none as a latency", async () => {
    await source.readWindow();
    await workload.run("wgl-refused", "refused", [LOOPBACK, PORT + 1, 23]);
    const window = await source.readWindow();
    expect(rowsOf(window, "tcp_connect_failures", { process: "wgl-refused" })).toMatchObject([
      { peer: LOOPBACK, peer_port: String(PORT + 1), errno: "ECONNREFUSED", count: 23n },
    ]);
    expect(rowsOf(window, "tcp_connect_latency", { process: "wgl-refused" })).toEqual([]);
    expect(sumOf(rowsOf(window, "tcp_connections", { process: "wgl-refused" }), "opened")).toBe(0);
    expect(sumOf(rowsOf(window, "tcp_connections", { process: "wgl-refused" }), "closed")).toBe(0);
  });

  it("counts 10 MB sent in two parts as exactly 10 MB, over the windows and the end of the connection", async () => {
    const part = 5_000_000;
    await source.readWindow();
    const sender = await workload.start("wgl-sender", "send", [LOOPBACK, PORT, part]);
    const windows: WindowData[] = [];
    await sender.next();
    windows.push(await source.readWindow());
    await sender.next();
    await sleep(100);
    windows.push(await source.readWindow(), await source.readWindow());
    await sender.finish();
    await sleep(50);
    windows.push(await source.readWindow());
    const client = rowsOf(windows, "tcp_connections", { process: "wgl-sender" });
    const server = rowsOf(windows, "tcp_connections", { process: "wgl-server", role: "server" });
    expect(sumOf(client, "bytes_sent")).toBe(2 * part);
    expect(sumOf(server, "bytes_received")).toBe(2 * part);
    expect(sumOf(client, "bytes_received")).toBe(0);
    expect(windows.map((window) => sumOf(rowsOf(window, "tcp_connections", { process: "wgl-sender" }), "active"))).toEqual([1, 1, 1, 0]);
    expect(sumOf(client, "opened")).toBe(1);
    expect(sumOf(client, "closed")).toBe(1);
    expect(sumOf(client, "segments_sent")).toBeGreaterThan(10);
    // Nothing was acknowledged in the third window, so there is no sample.
    const samples = windows.map((window) => sumOf(rowsOf(window, "tcp_rtt", { process: "wgl-sender" }), "count"));
    expect(samples[0]).toBe(1);
    expect(samples[2]).toBe(0);
  });

  it("knows owner and side of connections that are older than the agent, and counts only what comes", async () => {
    const sender = await workload.start("wgl-older", "send", [LOOPBACK, PORT, 1_000_003]);
    await sender.next();
    using late = await openSource({ signals: signalsOf("tcp") });
    await sender.next();
    await sender.finish();
    await sleep(50);
    const window = await late.readWindow();
    const [client] = rowsOf(window, "tcp_connections", { process: "wgl-older" });
    expect(client).toMatchObject({ role: "client", peer_port: String(PORT), bytes_sent: 1_000_003n, opened: 0n, closed: 1n });
    const [server] = rowsOf(window, "tcp_connections", { process: "wgl-server", role: "server", port: String(PORT) });
    expect(server).toMatchObject({ bytes_received: 1_000_003n, closed: 1n });
  });

  it("names the process that holds a connection, not the one that opened the listener for it", async () => {
    await source.readWindow();
    await workload.start("wgl-activator", "activate", [LOOPBACK, PORT + 2, "wgl-activated"]);
    const sender = await workload.start("wgl-visitor", "send", [LOOPBACK, PORT + 2, 1009]);
    await sender.next();
    await source.readWindow();
    await sender.next();
    const window = await source.readWindow();
    expect(rowsOf(window, "tcp_connections", { process: "wgl-activated" })).toMatchObject([{ role: "server", active: 1n, bytes_received: 1009n }]);
    await sender.finish();
  });

  it("names the process that holds a listener now, also for connections too short to be met by the inventory", async () => {
    await workload.start("wgl-starting", "rename-listener", [LOOPBACK, PORT + 3, "wgl-started"]);
    // A whole inventory has to miss the old owner before another holder takes over.
    for (let i = 0; i < 3; i++) await source.readWindow();
    await workload.run("wgl-brief", "connect", [LOOPBACK, PORT + 3, 23]);
    await sleep(50);
    const window = await source.readWindow();
    expect(rowsOf(window, "tcp_connections", { role: "server", port: String(PORT + 3) })).toMatchObject([{ process: "wgl-started", opened: 23n }]);
  });

  it("counts a connection that four processes hold once, under the one that opened it", async () => {
    await source.readWindow();
    const holder = await workload.start("wgl-holder", "share", [LOOPBACK, PORT, 1009, 3]);
    await sleep(50);
    const windows = [await source.readWindow(), await source.readWindow()];
    expect(rowsOf(windows[0] as WindowData, "tcp_connections", { process: "wgl-holder" })).toMatchObject([
      { active: 1n, opened: 1n, bytes_sent: 1009n },
    ]);
    expect(rowsOf(windows[1] as WindowData, "tcp_connections", { process: "wgl-holder" })).toMatchObject([
      { active: 1n, opened: 0n, bytes_sent: 0n },
    ]);
    expect(rowsOf(windows, "tcp_connections", { process: "wgl-sharer" })).toEqual([]);
    await holder.finish();
  });

  it("sees IPv6", async () => {
    await workload.start("wgl-server6", "serve", ["::1", PORT]);
    await source.readWindow();
    await workload.run("wgl-client6", "connect", ["::1", PORT, 7]);
    const window = await source.readWindow();
    expect(rowsOf(window, "tcp_connections", { process: "wgl-client6" })).toMatchObject([{ peer: "::1", opened: 7n }]);
  });

  it("agrees with the kernel's ActiveOpens and PassiveOpens of its own namespace", async () => {
    const windows = [await source.readWindow()];
    await workload.run("wgl-opens", "connect", [LOOPBACK, PORT, 101]);
    windows.push(await source.readWindow(), await source.readWindow());
    for (const quantity of ["ActiveOpens", "PassiveOpens", "RetransSegs"]) {
      const rows = windows.slice(1).flatMap((window) => window.accounting.filter((row) => row.quantity === quantity));
      const [counted, kernel] = [rows.reduce((sum, row) => sum + row.counted, 0n), rows.reduce((sum, row) => sum + row.kernel, 0n)];
      expect(counted, quantity).toBe(kernel);
      if (quantity !== "RetransSegs") expect(counted).toBeGreaterThanOrEqual(101n);
    }
  });

  it("says of every signal how it is, of TCP's that they are exact, and drops nothing of them", async () => {
    const window = await source.readWindow();
    const ofKernel = catalogue.filter(({ bpf }) => bpf !== null);
    expect(window.coverage.map(({ signal }) => signal).sort()).toEqual(ofKernel.map(({ name }) => name).sort());
    const tcp = new Set(ofKernel.filter(({ family }) => family === "tcp").map(({ name }) => name));
    const inexact = window.coverage.filter(({ signal, state }) => tcp.has(signal) && state !== "exact");
    expect(inexact.map(({ signal, state }) => ({ signal, state }))).toEqual(
      kernelTells.resetReasons ? [] : [{ signal: "tcp_resets", state: "fallback" }],
    );
    // What else this machine does may fill the maps of other families.
    expect(window.drops.filter(({ reason }) => /^(tcp_|socket_|sk_storage|processes_full)/.test(reason))).toEqual([]);
  });
});

describeKernel("a map of connections that is too small", () => {
  it("keeps 23 failures to 23 ports exact in ~other", async () => {
    using workload = new Workload();
    using source = await openSource({ signals: signalsOf("tcp"), mapEntries: { tcp_connect_failures_a: 3, tcp_connect_failures_b: 3 } });
    await source.readWindow();
    for (let i = 0; i < 23; i++) await workload.run("wgl-many", "refused", [LOOPBACK, PORT + 100 + i, 1]);
    const window = await source.readWindow();
    const rows = rowsOf(window, "tcp_connect_failures");
    const other = rowsOf(window, "tcp_connect_failures", { process: "~other", unit: "~other", peer: "~other", peer_port: "~other", errno: "~other" });
    expect(other).toHaveLength(1);
    expect(sumOf(rows, "count")).toBe(23);
    expect(window.drops).toContainEqual({ reason: "tcp_connect_failures_full", count: other[0]?.count });
    const next = await source.readWindow();
    expect(rowsOf(next, "tcp_connect_failures")).toEqual([]);
  });
});

describeKernel("a lossy network", () => {
  it("counts what either namespace counts as RetransSegs, for the process that sends there", async () => {
    using workload = new Workload();
    using network = new NamespacePair();
    using source = await openSource({ signals: signalsOf("tcp") });
    network.throttle("2mbit");
    await workload.start("wgl-sink", "serve", [network.secondAddress, 47_201], network.second);
    const retransmitted = (): number[] => [network.first, network.second].map((namespace) => network.tcpCounter("RetransSegs", [namespace]));
    const before = retransmitted();
    const windows: WindowData[] = [await source.readWindow()];
    const sender = await workload.start("wgl-lossy", "send", [network.secondAddress, 47_201, 400_000], network.first);
    const sent = sender.next();
    let done = false;
    void sent.then(() => {
      done = true;
    });
    while (!done) {
      await sleep(200);
      windows.push(await source.readWindow());
    }
    await sender.finish();
    await sleep(100);
    windows.push(await source.readWindow());
    const [kernel, kernelOfSink] = retransmitted().map((count, index) => count - (before[index] as number)) as [number, number];
    const mine = rowsOf(windows, "tcp_retransmits", { process: "wgl-lossy", role: "client", peer: network.secondAddress });
    expect(kernel).toBeGreaterThan(0);
    expect(sumOf(mine, "segments")).toBe(kernel);
    // A slow machine answers so late that the receiver, too, sends its part of the handshake and its end again.
    expect(sumOf(rowsOf(windows, "tcp_retransmits", { process: "wgl-sink" }), "segments")).toBe(kernelOfSink);
    expect(sumOf(rowsOf(windows, "tcp_connections", { process: "wgl-lossy" }), "segments_retransmitted")).toBe(kernel);
    expect(sumOf(rowsOf(windows, "tcp_connections", { process: "wgl-lossy" }), "bytes_sent")).toBe(400_000);
    expect(sumOf(rowsOf(windows, "tcp_connections", { process: "wgl-sink" }), "bytes_received")).toBe(400_000);
    expect(mine.map((row) => row.class)).toContain("fast");
  });

  it("counts SYNs that get no answer as retransmits of class syn and a connect given up as closed", async () => {
    using workload = new Workload();
    using network = new NamespacePair();
    using source = await openSource({ signals: signalsOf("tcp") });
    network.blackhole();
    await source.readWindow();
    const before = network.tcpCounter("RetransSegs");
    const dialler = workload.start("wgl-syn", "send", ["10.213.0.9", 47_202, 1], network.first).catch(() => undefined);
    await sleep(1500);
    // Killing the process closes its socket.
    execFileSync("sh", ["-c", `for p in $(ip netns pids ${network.first}); do kill -9 $p; done`]);
    await dialler;
    await sleep(50);
    const window = await source.readWindow();
    const rows = rowsOf(window, "tcp_retransmits", { process: "wgl-syn", class: "syn", peer: "10.213.0.9" });
    expect(sumOf(rows, "segments")).toBe(network.tcpCounter("RetransSegs") - before);
    expect(sumOf(rows, "segments")).toBeGreaterThan(0);
    expect(rowsOf(window, "tcp_connect_failures", { process: "wgl-syn" })).toMatchObject([{ errno: "closed", count: 1n }]);
  });
});
