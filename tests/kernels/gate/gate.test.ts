// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { KernelBtf } from "../../../apps/agent/src/kernel/kernel-btf.ts";
import { decideProgram } from "../../../apps/agent/src/probes/prediction.ts";
import type { ProgramPlan } from "../../../apps/agent/src/probes/program-plan.ts";
import { programPlans } from "../../../apps/agent/src/probes/programs.ts";
import { HOST, kernels } from "../kernels.ts";
import { readRecord } from "../results.ts";
import { BtfTypes } from "./btf-types.ts";
import { minimize } from "./minimize.ts";
import { Objects, type Prediction, predict } from "./predict.ts";
import { reach } from "./reach.ts";
import { readShelf, wantedOf } from "./shelf.ts";

const directory = join(import.meta.dirname, "../../../packages/bpf/build");
const isBuilt = programPlans.every(({ object }) => existsSync(join(directory, `${object}.bpf.o`)));
if (!isBuilt && process.env["CI"] === "true") throw new Error("the gate needs the BPF objects: make -C packages/bpf");
const objects = new Objects(directory);
const names = [...kernels.map(({ name }) => name), HOST];
const shelfOf = (name: string): Buffer => readShelf(name) as Buffer;

/** The BTF with a name in place of another that is at least as long. */
function renamed(btf: Buffer, from: string, to: string): Buffer {
  const copy = Buffer.from(btf);
  const at = copy.indexOf(`\0${from}\0`);
  if (at < 0 || to.length > from.length) throw new Error(`${from} is not in the BTF, or too short`);
  copy.fill(0, at + 1, at + 1 + from.length);
  copy.write(to, at + 1, "latin1");
  return copy;
}
const stateOf = ({ coverage }: Prediction, signal: string) => coverage.find((entry) => entry.signal === signal);

it("knows the steps of a flush by a constant: a macro on 6.1, of an enumeration without a name on 6.12, of one with a name since", () => {
  const plan = programPlans.find(({ name }) => name === "on_block_rq_complete") as ProgramPlan;
  const flag = (name: string) => decideProgram(plan, new KernelBtf(shelfOf(name))).constants?.["flush_sequence_flag"];
  expect([flag("6.1"), flag("6.12"), flag("newest")]).toEqual([1 << 4, 1 << 1, 1 << 1]);
});

describe.skipIf(!isBuilt)("every object, held against stored BTF of kernels", () => {
  it.each(names)("predicts for %s what the agent said there", (name) => {
    const record = readRecord(name);
    const { programs, coverage } = predict(shelfOf(name), objects);
    const said = new Map(record?.signals.map((entry) => [entry.signal, entry]));
    for (const { signal, state, reason } of coverage) {
      const found = said.get(signal);
      // How much happened on that day is not in BTF.
      if (found?.state === "sampled" && state === "exact") continue;
      const hint = `${signal} on ${name}: run ./waggle test kernels --kernel ${name} --short --write; if a program names new types, node tests/kernels/gate/renew.ts first`;
      expect({ state, reason }, hint).toEqual({ state: found?.state, reason: found?.reason });
    }
    const attached = (list: readonly { program: string; attached: boolean }[]) =>
      list.filter((entry) => entry.attached).map(({ program }) => program);
    expect(attached(programs)).toEqual(attached(record?.programs ?? []));
  });

  it("finds a field that a program looks into and that is gone", () => {
    const prediction = predict(renamed(shelfOf("newest"), "srtt_us", "gone_us"), objects);
    expect(stateOf(prediction, "tcp_rtt")).toMatchObject({
      state: "failed",
      reason: expect.stringContaining("looks into tcp_sock.srtt_us, which this kernel does not have"),
    });
    expect(stateOf(prediction, "syscalls")?.state).toBe("exact");
  });

  it("finds a tracepoint that is gone, and takes the fallback that is declared for it", () => {
    const gone = (tracepoint: string) => predict(renamed(shelfOf("newest"), `btf_trace_${tracepoint}`, "gone"), objects);
    expect(stateOf(gone("sys_exit"), "syscalls")).toEqual({
      signal: "syscalls",
      state: "unsupported",
      reason: "on_sys_exit: this kernel has no tracepoint sys_exit",
    });
    expect(stateOf(gone("tcp_cong_state_set"), "tcp_congestion")?.state).toBe("fallback");
    const stoodIn = gone("mark_victim");
    expect(stateOf(stoodIn, "oom_kills")?.state).toBe("fallback");
    expect(stoodIn.programs.find(({ program }) => program === "on_oom_exit")?.attached).toBe(true);
  });

  it("finds a tracepoint with fewer arguments, and one whose arguments are others", () => {
    const as = (from: string, to: string) =>
      predict(renamed(renamed(shelfOf("newest"), `btf_trace_${to}`, "gone"), `btf_trace_${from}`, `btf_trace_${to}`), objects);
    const failure = (prediction: Prediction, program: string) => prediction.programs.find((entry) => entry.program === program)?.failure?.message;
    expect(failure(as("tcp_retransmit_synack", "inet_sock_set_state"), "on_inet_sock_set_state")).toContain(
      "reads argument 3 of inet_sock_set_state, which has 2",
    );
    expect(failure(as("block_rq_complete", "tcp_receive_reset"), "on_tcp_receive_reset")).toContain("for struct sock *, which is struct request *");
  });

  it("finds a helper, a map type and an iterator that are not there", () => {
    const newest = shelfOf("newest");
    expect(stateOf(predict(renamed(newest, "bpf_func_id", "gone"), objects), "syscalls")).toMatchObject({
      state: "failed",
      reason: expect.stringContaining("calls helpers"),
    });
    expect(stateOf(predict(renamed(newest, "bpf_map_type", "gone"), objects), "syscalls")).toMatchObject({
      state: "unsupported",
      reason: expect.stringContaining("task storage"),
    });
    expect(stateOf(predict(renamed(newest, "bpf_iter_task_file", "gone"), objects), "tcp_connections")).toMatchObject({ state: "unsupported" });
  });

  it("goes through most of every program, and through no more than there is", () => {
    const btf = shelfOf("newest");
    for (const { program, decision } of predict(btf, objects).programs) {
      const plan = programPlans.find(({ name }) => name === program);
      const object = objects.get(plan?.object ?? "");
      const entry = object.programs.get(program);
      if (entry === undefined) throw new Error(`no program ${program}`);
      const { instructions } = reach({ object, entry, constants: decision.constants ?? {}, resolve: () => undefined });
      expect(instructions, program).toBeGreaterThan(20);
    }
  });

  it("keeps of a kernel's BTF all that decides, also when it is made smaller once more", () => {
    const btf = shelfOf("6.12");
    const again = minimize(new BtfTypes(btf), wantedOf(objects, btf));
    expect(predict(again, objects)).toEqual(predict(btf, objects));
    expect(again.length).toBeLessThanOrEqual(btf.length);
  });
});
