// SPDX-License-Identifier: Apache-2.0
import { describe, expect, inject, it } from "vitest";
import { Client } from "../support/stack.ts";
import { LossyPath, runWorkload, startListener } from "../support/workload.ts";

const client = new Client(inject("stack"));
const unique = (name: string): string => `${name}${process.pid % 10_000}`;

/** The distribution's events are its `count` measure. */
async function total(signal: string, measure: string, where: string, from: Date, expected: number): Promise<number> {
  return client.eventually(
    () => client.sum(signal, measure, where, from),
    (sum) => sum >= expected,
  );
}

describe("what one host did, read through REST", () => {
  it("counts 23 connections to a listener as 23 at both ends and 23 connect latencies", async () => {
    const from = new Date(Date.now() - 1_000);
    const names = { server: unique("wgl-srv"), client: unique("wgl-cli") };
    const listener = await startListener({ name: names.server, count: 23 });
    await runWorkload("connect", { name: names.client, port: listener.port, count: 23 });
    await listener.done;
    expect(await total("tcp_connections", "opened", `process:${names.client} role:client peer_port:${listener.port}`, from, 23)).toBe(23);
    expect(await total("tcp_connections", "opened", `process:${names.server} role:server port:${listener.port}`, from, 23)).toBe(23);
    expect(await total("tcp_connect_latency", "count", `process:${names.client} peer_port:${listener.port}`, from, 23)).toBe(23);
    expect(await total("tcp_connections", "bytes_sent", `process:${names.client}`, from, 23_000)).toBe(23_000);
    expect(await total("tcp_connections", "closed", `process:${names.client}`, from, 23)).toBe(23);
  });

  it("counts 23 refused connects as 23 ECONNREFUSED", async () => {
    const from = new Date(Date.now() - 1_000);
    const name = unique("wgl-ref");
    await runWorkload("refuse", { name, port: 1, count: 23 });
    expect(await total("tcp_connect_failures", "count", `process:${name} errno:ECONNREFUSED`, from, 23)).toBe(23);
    expect(await total("tcp_connections", "opened", `process:${name}`, from, 0)).toBe(0);
  });

  it("counts 1,000 getppid calls as 1,000, each with a latency", async () => {
    const from = new Date(Date.now() - 1_000);
    const name = unique("wgl-pid");
    await runWorkload("getppid", { name, count: 1_000 });
    expect(await total("syscalls", "count", `process:${name} syscall:getppid`, from, 1_000)).toBe(1_000);
    expect(await total("syscall_latency", "count", `process:${name} syscall:getppid`, from, 1_000)).toBe(1_000);
  });

  it("attributes every retransmitted segment of a lossy path to the sending process", async () => {
    using path = new LossyPath(7);
    const from = new Date(Date.now() - 1_000);
    const sender = unique("wgl-snd");
    const listener = await startListener({ name: unique("wgl-rcv"), namespace: path.right, host: path.rightAddress, port: 9000 });
    await runWorkload("connect", { name: sender, namespace: path.left, host: path.rightAddress, port: 9000, bytes: 3_000_000 });
    await listener.done;
    const kernel = path.retransmittedSegments();
    expect(kernel).toBeGreaterThan(0);
    expect(await total("tcp_retransmits", "segments", `peer:${path.rightAddress},${path.leftAddress}`, from, kernel)).toBe(kernel);
    expect(await total("tcp_retransmits", "segments", `process:${sender} peer:${path.rightAddress}`, from, 1)).toBeGreaterThan(0.9 * kernel);
    expect(await total("tcp_connections", "segments_retransmitted", `process:${sender}`, from, 1)).toBeGreaterThan(0.9 * kernel);
  });

  it("answers with the host's own coverage: every kernel signal exact, one host of one reporting", async () => {
    // A busy machine brings a window late, and the host counts as late until it is there.
    const answer = await client.eventually(
      () =>
        client.query({
          signal: "agent_coverage",
          select: [{ measure: "windows", aggregate: "sum" }],
          by: ["signal", "state"],
          from: "now-1m",
          points: 1,
          limit: 50,
        }),
      ({ meta }) => meta.coverage.reporting === 1,
    );
    const states = Object.fromEntries(answer.series.map((series) => [series.labels["signal"], series.labels["state"]]));
    expect(states).toMatchObject({
      tcp_connections: "exact",
      tcp_retransmits: "exact",
      tcp_rtt: "exact",
      syscalls: "exact",
      syscall_latency: "exact",
    });
    expect(answer.meta.coverage).toMatchObject({ hosts: 1, reporting: 1 });
  });
});
