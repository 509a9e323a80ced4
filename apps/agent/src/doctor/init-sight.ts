// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/config.ts";
import { BpfObject } from "../libbpf/bpf-object.ts";
import { requireObjects } from "./trial.ts";

/** Switches to threads of the init process and away from them, as a program counted them (packages/bpf/src/init_sight). */
export interface InitSight {
  readonly switchesTo: number;
  readonly switchesFrom: number;
}

/** So many that a thread which still has its CPU does not matter. */
export const SWITCHES_ENOUGH = 8;
const WATCH_MS_MAX = 1_000;
const ORPHAN_EVERY_MS = 50;

/**
 * Watches init for up to a second, with a program of its own on one hook. So that init has something to do, short-lived processes lose their parent: whoever adopts
 * them has to wait for them. Throws a BpfError where it cannot be loaded or attached, an Error in words where there are no objects.
 */
export async function watchInit(config: Config): Promise<InitSight> {
  using object = BpfObject.open(join(requireObjects(config), "init_sight.bpf.o"));
  const [program] = object.selectPrograms(["on_switch_of_init"]);
  object.load();
  const [map] = object.newMaps(new Map());
  if (program === undefined || map === undefined) throw new Error("init_sight.bpf.o lacks its program or its map");
  using counts = map;
  using _link = program.attach();
  const read = (): InitSight => {
    const value = counts.get(Buffer.alloc(4));
    return { switchesTo: Number(value?.readBigUInt64LE(0) ?? 0n), switchesFrom: Number(value?.readBigUInt64LE(8) ?? 0n) };
  };
  for (const deadline = performance.now() + WATCH_MS_MAX; performance.now() < deadline && read().switchesTo < SWITCHES_ENOUGH; ) {
    spawn("/bin/sh", ["-c", "sleep 0.01 &"], { stdio: "ignore" }).on("error", () => {});
    await sleep(ORPHAN_EVERY_MS);
  }
  return read();
}
