// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeFrameFile } from "../../apps/agent/src/spool/frame-file.ts";
import { Snapshot } from "../../packages/proto/src/index.ts";
import type { Fault } from "./schedule.ts";
import type { Stack } from "./stack.ts";

/** Windows that an agent will have to declare as lost, as their file was torn: host name → starts, Unix ms. */
export type TornWindows = Map<string, Set<number>>;

const LATENCY_MS = 400;

/** Makes the fault happen and undoes it when its time is over. Resolves then; returns false if it found nothing to hit. */
export async function applyFault(stack: Stack, fault: Fault, windowMs: number, torn: TornWindows): Promise<boolean> {
  const { kind, target, lengthMs } = fault;
  const proxies = stack.senderProxies.get(target) ?? [];
  const storage = stack.storageProxies.get(target);
  switch (kind) {
    case "cut":
      for (const proxy of proxies) proxy.cut();
      return true;
    case "delay":
      for (const proxy of proxies) proxy.delay(LATENCY_MS);
      await sleep(lengthMs);
      for (const proxy of proxies) proxy.delay(0);
      return true;
    case "stall":
      for (const proxy of proxies) proxy.stall(true);
      await sleep(lengthMs);
      for (const proxy of proxies) proxy.stall(false);
      return true;
    case "duplicate":
      // Only a connection that was duplicated from its first byte makes sense to the other node.
      for (const proxy of proxies) {
        proxy.duplicate(true);
        proxy.cut();
      }
      await sleep(lengthMs);
      for (const proxy of proxies) proxy.duplicate(false);
      return true;
    case "cut-clickhouse":
      storage?.cut();
      return true;
    case "stall-clickhouse":
      storage?.stall(true);
      await sleep(lengthMs);
      storage?.stall(false);
      return true;
    case "disk-full":
      stack.disk.fill();
      await sleep(lengthMs);
      stack.disk.free();
      return true;
    case "kill-clickhouse":
      stack.clickhouse.measure(stack.clickhousePid());
      await stack.clickhouse.kill(stack.clickhousePid());
      await sleep(lengthMs);
      stack.clickhouse.restart();
      return true;
    case "kill-api":
    case "kill-simulator":
    case "kill-agent":
    case "torn-temporary":
    case "torn-progress":
    case "torn-frame": {
      const victim = stack.apis.get(target) ?? stack.agents.get(target) ?? stack.simulator;
      if (victim.hasEnded) return false;
      await victim.kill();
      let found = true;
      if (kind.startsWith("torn")) found = tear(stack.agentDirectory(target), kind, windowMs, tornOf(torn, target));
      await sleep(lengthMs);
      victim.restart();
      return found;
    }
  }
}

function tornOf(torn: TornWindows, host: string): Set<number> {
  const starts = torn.get(host) ?? new Set();
  torn.set(host, starts);
  return starts;
}

/** Leaves files behind as a machine that lost its power might. */
function tear(directory: string, kind: Fault["kind"], windowMs: number, torn: Set<number>): boolean {
  const spool = join(directory, "spool");
  // Killed before it had come so far.
  if (!existsSync(spool) || (kind === "torn-progress" && !existsSync(join(directory, "progress.json")))) return false;
  const frames = readdirSync(spool).filter((name) => name.endsWith(".frame"));
  if (kind === "torn-progress") {
    const path = join(directory, "progress.json");
    const bytes = readFileSync(path);
    truncateSync(path, Math.floor(bytes.length / 2));
    return true;
  }
  if (kind === "torn-temporary") {
    // The frame of a window that was being written when the power went: the window is made again, and these bytes are nobody's.
    const whole = frames[0] === undefined ? Buffer.alloc(2_000, 7) : readFileSync(join(spool, frames[0]));
    writeFileSync(join(spool, "00000000000999999999.frame.tmp"), whole.subarray(0, Math.floor(whole.length / 2)));
    return true;
  }
  const name = frames[Math.floor(frames.length / 2)];
  if (name === undefined) return false;
  const path = join(spool, name);
  const bytes = readFileSync(path);
  const frame = decodeFrameFile(bytes);
  if (typeof frame === "string") return false;
  const { windowStartMs, windowMs: lengthMs } = Snapshot.decode(frame.payload);
  for (let startMs = Number(windowStartMs); startMs < Number(windowStartMs) + lengthMs; startMs += windowMs) torn.add(startMs);
  truncateSync(path, Math.floor(bytes.length * 0.6));
  return true;
}
