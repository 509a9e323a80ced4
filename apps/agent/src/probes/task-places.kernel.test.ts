// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { describeKernel, objectDirectory, Workload } from "../../test/kernel-testing.ts";
import { ProbeSet } from "./probe-set.ts";
import { programPlans } from "./programs.ts";

/** TASK_PLACES (packages/bpf/include/process.bpf.h). */
const PLACES = 8192;
const CHILDREN = PLACES;
const TRIES = 100;

/** Numbers of the tasks that have a place. */
function placed(probes: ProbeSet): number[] {
  const layout = probes.layouts.get("task_state");
  const at = (field: string): number => layout?.fields.find(({ name }) => name === field)?.offset as number;
  const found: number[] = [];
  const map = probes.maps.get("task_places");
  map?.readAll((_keys, values, count) => {
    for (let place = 0; place < count; place++) {
      const state = place * map.valueSize;
      if (values.readBigUInt64LE(state + at("owner")) !== 0n) found.push(values.readUInt32LE(state + at("pid")));
    }
  });
  return found;
}

const placesOf = (probes: ProbeSet, isOne: (pid: number) => boolean): number => placed(probes).filter(isOne).length;

const lastPid = (): number => Number(readFileSync("/proc/loadavg", "utf8").trim().split(" ").at(-1));

/** Numbers that were given out since `first`; they start again at 300 when there are no more. */
function isSince(first: number): (pid: number) => boolean {
  const last = lastPid();
  return (pid) => (last >= first ? pid > first && pid <= last : pid > first || pid <= last);
}

function load(names: readonly string[]): ProbeSet {
  const probes = ProbeSet.load({ objectDirectory, programs: programPlans.filter(({ name }) => names.includes(name)) });
  probes.attach();
  return probes;
}

describeKernel("places of tasks", () => {
  it("are given back when the kernel lets go of the task", async () => {
    using workload = new Workload("task-workload.c");
    using probes = load(["on_task_newtask", "on_sched_process_free"]);
    const first = lastPid();
    await workload.run("wgl-places", "children", [499, "exit", 0]);
    const isOfRun = isSince(first);
    for (let tries = 0; tries < TRIES && placesOf(probes, isOfRun) > 50; tries++) await sleep(10);
    // What else the machine has started meanwhile lives on.
    expect(placesOf(probes, isOfRun)).toBeLessThanOrEqual(50);
  });

  it("are found to be free by those they fall to later, where nobody saw that", async () => {
    using workload = new Workload("task-workload.c");
    using probes = load(["on_task_newtask"]);
    await workload.run("wgl-places", "children", [CHILDREN, "exit", 0]);
    const first = lastPid();
    await workload.run("wgl-places", "children", [1009, "exit", 0]);
    expect(placesOf(probes, isSince(first))).toBeGreaterThan(900);
  });
});
