// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { BpfError } from "../libbpf/error.ts";
import { explainFailure } from "./failure.ts";
import type { ProgramPlan } from "./program-plan.ts";

const EINVAL = 22;
const plan: ProgramPlan = { name: "on_dns_timeouts", object: "dns", hook: "raw_tp, run by the agent", tracepoint: null };
const refused = (log: string): BpfError => new BpfError("load", EINVAL, "dns.bpf.o", log);

describe("what a program's failure is called", () => {
  it("is unsupported where the kernel has no atomic exchange", () => {
    expect(explainFailure(plan, "load", refused("31: (db) lock *(u64 *)(r1 +0)\nBPF_STX uses reserved fields"))).toMatchObject({
      state: "unsupported",
      message: "on_dns_timeouts: this kernel's programs cannot exchange values atomically (since Linux 5.12)",
    });
  });

  it("is failed, with the verifier's words, for any other refusal", () => {
    expect(explainFailure(plan, "load", refused("R1 invalid mem access 'scalar'"))).toMatchObject({
      state: "failed",
      message: "on_dns_timeouts: EINVAL at load: R1 invalid mem access 'scalar'",
    });
  });
});
