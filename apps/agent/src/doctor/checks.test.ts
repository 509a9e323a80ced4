// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ProgramState } from "../probes/program-state.ts";
import { judgeBudget, judgeLosses, judgeOthers, otherClaims } from "./agent-checks.ts";
import { judgeAck, judgeCertificate, judgeClock, judgeVersion } from "./api-checks.ts";
import { findProxy } from "./api-socket.ts";
import { type CheckDefinition, pass, runChecks } from "./check.ts";
import { checks } from "./checks.ts";
import { DoctorFacts } from "./facts.ts";
import { judgeLockdown, judgeOptions, judgePerfParanoid, judgeRelease, judgeUnprivilegedBpf } from "./kernel-checks.ts";
import { describeExtras, judgeCoreCapabilities, judgeMemlock, judgeSecurity } from "./privilege-checks.ts";
import { judgeCoverage, judgeInitSight, judgeJit, judgePrograms } from "./program-checks.ts";

const facts = new DoctorFacts({});
const check = (id: string, run: CheckDefinition["run"], more: Partial<CheckDefinition> = {}): CheckDefinition => ({
  id,
  group: "kernel",
  title: id,
  about: "",
  run,
  ...more,
});

describe("running checks", () => {
  it("skips, with the reason, what could not be decided, and never passes it", async () => {
    const broken = check("broken", () => {
      throw new Error("the file is closed to this user");
    });
    const [first, second, third] = await runChecks(
      [broken, check("later", () => pass("")), check("behind", () => pass(""), { after: ["broken"] })],
      facts,
      {
        offline: false,
      },
    );
    expect(first).toMatchObject({ result: "SKIP", found: "the file is closed to this user" });
    expect(second?.result).toBe("PASS");
    expect(third).toMatchObject({ result: "SKIP", found: "depends on broken, which was skipped" });
  });

  it("asks nothing over the network with --offline", async () => {
    const asked: string[] = [];
    const network = check("network", () => pass(String(asked.push("network"))), { usesNetwork: true });
    const [report] = await runChecks([network], facts, { offline: true });
    expect(report?.result).toBe("SKIP");
    expect(asked).toEqual([]);
  });

  it("has ids that are unique, and depend on earlier ones only", () => {
    const seen = new Set<string>();
    for (const { id, after = [], about } of checks) {
      expect(seen.has(id), id).toBe(false);
      for (const other of after) expect(seen.has(other), `${id} after ${other}`).toBe(true);
      expect(id).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(about.length, id).toBeGreaterThan(20);
      seen.add(id);
    }
  });

  it("names the variables of a configuration that cannot be used, and skips what would have needed it", async () => {
    const reports = await runChecks(
      checks.filter(({ id, group }) => ["configuration", "kernel", "state"].includes(group) || id === "bpf-objects"),
      new DoctorFacts({ WAGGLE_AGENT_WINDOW_MS: "7" }),
      { offline: true },
    );
    const of = (id: string) => reports.find((report) => report.id === id);
    expect(of("configuration")).toMatchObject({ result: "FAIL", cause: expect.stringContaining("WAGGLE_AGENT_WINDOW_MS") });
    expect(of("kernel-release")?.result).toBe("PASS");
    for (const id of ["state-directory", "bpf-objects"]) expect(of(id)).toMatchObject({ result: "SKIP", found: "the configuration cannot be used" });
  });

  it("fails nothing for want of a token or an API before anything is installed", async () => {
    const reports = await runChecks(
      checks.filter(({ group }) => group === "state" || group === "API"),
      new DoctorFacts({ WAGGLE_AGENT_STATE_DIRECTORY: join(tmpdir(), "waggle-doctor-nowhere/state") }),
      { offline: false },
    );
    expect(reports.filter(({ result }) => result === "FAIL")).toEqual([]);
    expect(reports.find(({ id }) => id === "enrolment")?.result).toBe("SKIP");
    expect(reports.find(({ id }) => id === "api-proxy")?.result).toBe("SKIP");
  });

  it("fails for a state directory that was used and has neither credential nor token", async () => {
    const directory = mkdtempSync(join(tmpdir(), "waggle-doctor-"));
    try {
      const enrolment = checks.filter(({ id }) => id === "enrolment");
      const tokenFile = join(directory, "token");
      const [report] = await runChecks(
        enrolment,
        new DoctorFacts({ WAGGLE_AGENT_STATE_DIRECTORY: directory, WAGGLE_AGENT_ENROLMENT_TOKEN_FILE: tokenFile }),
        {
          offline: true,
        },
      );
      expect(report).toMatchObject({ result: "FAIL", cause: expect.stringContaining(tokenFile) });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe("the kernel", () => {
  it.each([
    ["4.19.0-27-amd64", "WARN"],
    ["5.10.0-32-amd64", "WARN"],
    ["5.12.0", "PASS"],
    ["5.14.0-503.el9.x86_64", "PASS"],
    ["7.2.13+deb14", "PASS"],
  ])("judges release %s as %s", (release, result) => expect(judgeRelease(release, "x64").result).toBe(result));

  it("goes by BTF where no build configuration can be read, and says so where that does not tell either", () => {
    const text = ["BPF", "BPF_SYSCALL", "BPF_EVENTS", "PERF_EVENTS", "CGROUPS"].map((name) => `CONFIG_${name}=y`).join("\n");
    const btf = (known: boolean) => () => ({ hasFunction: () => known });
    expect(judgeOptions({ text, path: "/boot/config" }, btf(false)).result).toBe("PASS");
    expect(
      judgeOptions({ text: text.replace("CONFIG_BPF_EVENTS=y", "# CONFIG_BPF_EVENTS is not set"), path: "/boot/config" }, btf(true)),
    ).toMatchObject({
      result: "FAIL",
      found: "without CONFIG_BPF_EVENTS",
    });
    expect(judgeOptions(null, btf(true)).result).toBe("PASS");
    expect(judgeOptions(null, btf(false)).result).toBe("SKIP");
  });

  it("passes lockdown up to integrity, and does not call a hidden one none", () => {
    expect(judgeLockdown("none", true).result).toBe("PASS");
    expect(judgeLockdown("integrity", true)).toMatchObject({ result: "PASS", found: expect.stringContaining("kprobes") });
    expect(judgeLockdown("confidentiality", true).result).toBe("FAIL");
    expect(judgeLockdown(null, false).result).toBe("SKIP");
    expect(judgeLockdown(null, true)).toMatchObject({ result: "PASS", found: "this kernel has none" });
  });

  it("warns of programs that every user may load, and of samples that nobody may take", () => {
    expect(judgeUnprivilegedBpf("0").result).toBe("WARN");
    expect(judgeUnprivilegedBpf("2").result).toBe("PASS");
    expect(judgeUnprivilegedBpf(undefined).result).toBe("SKIP");
    expect(judgePerfParanoid("2", true).result).toBe("PASS");
    expect(judgePerfParanoid("3", true)).toMatchObject({ result: "WARN", fix: "sysctl -w kernel.perf_event_paranoid=2" });
    expect(judgePerfParanoid("3", true, true).result).toBe("PASS");
    expect(judgePerfParanoid("3", false).result).toBe("WARN");
    expect(judgePerfParanoid("-1", false).result).toBe("PASS");
  });
});

describe("privileges", () => {
  it("fails without one of the two capabilities and says which, and that one stands for both", () => {
    expect(judgeCoreCapabilities(new Set(["CAP_BPF"]))).toMatchObject({ result: "FAIL", found: "missing CAP_PERFMON" });
    expect(judgeCoreCapabilities(new Set(["CAP_SYS_ADMIN"])).result).toBe("PASS");
  });

  it("says of each further capability what it would add, and fails for none", () => {
    const { result, items } = describeExtras(new Set(["CAP_SYS_PTRACE"]));
    expect(result).toBe("PASS");
    expect(items.map(({ found }) => found.split(":")[0])).toEqual([
      "held",
      expect.stringContaining("would add"),
      expect.stringContaining("would add"),
    ]);
  });

  it("counts locked memory only on kernels that count maps as such", () => {
    const old = { hasField: () => true, hasStruct: () => true };
    const recent = { hasField: () => true, hasStruct: () => false };
    expect(judgeMemlock(65_536, 33_000_000, old).result).toBe("FAIL");
    expect(judgeMemlock(Number.POSITIVE_INFINITY, 33_000_000, old).result).toBe("PASS");
    expect(judgeMemlock(65_536, 33_000_000, recent).result).toBe("PASS");
  });

  it("warns of a profile or a filter on the process", () => {
    expect(judgeSecurity({ modules: "capability,apparmor", label: "unconfined", seccomp: "0" }).result).toBe("PASS");
    expect(judgeSecurity({ modules: "capability,apparmor", label: "docker-default (enforce)", seccomp: "0" }).result).toBe("WARN");
    expect(judgeSecurity({ modules: undefined, label: undefined, seccomp: "2" }).result).toBe("WARN");
    expect(judgeSecurity({ modules: undefined, label: undefined, seccomp: undefined }).result).toBe("SKIP");
  });
});

describe("programs", () => {
  const state = (more: Partial<ProgramState>): ProgramState => ({
    program: "on_sys_exit",
    hook: "tp_btf/sys_exit",
    attached: true,
    isDetached: false,
    failure: null,
    decision: {},
    without: null,
    insteadOf: null,
    ...more,
  });
  const failure = (step: "load" | "decide" | "wait", kind: "failed" | "unsupported") => ({
    program: "on_sys_exit",
    step,
    errno: 13,
    errnoName: "EACCES",
    state: kind,
    message: "on_sys_exit: EACCES at load: R1 invalid mem access",
  });

  it("fails with the verifier's words for one that is refused, warns of one this kernel lacks, and skips for one that was not tried", () => {
    const judge = (...programs: ProgramState[]) => judgePrograms({ programs, elapsedMs: 7 });
    expect(judge(state({})).result).toBe("PASS");
    expect(judge(state({}), state({ attached: false, failure: failure("load", "failed") }))).toMatchObject({
      result: "FAIL",
      found: "1 of 2 loaded and attached, in 7 ms",
      cause: "on_sys_exit: EACCES at load: R1 invalid mem access",
    });
    expect(judge(state({ attached: false, failure: failure("decide", "unsupported") })).result).toBe("WARN");
    expect(judge(state({}), state({ attached: false, failure: failure("wait", "failed") })).result).toBe("SKIP");
  });

  it("fails for a signal that failed, warns of a fallback, and blames nobody for missing hardware", () => {
    const exact = { signal: "syscalls", state: "exact", reason: "" } as const;
    expect(judgeCoverage([exact, { signal: "energy", state: "unsupported", reason: "no meter" }]).result).toBe("PASS");
    expect(judgeCoverage([exact, { signal: "tcp_resets", state: "fallback", reason: "no reasons" }])).toMatchObject({
      result: "WARN",
      found: "1 exact, 1 fallback",
    });
    expect(judgeCoverage([exact, { signal: "tcp_rtt", state: "failed", reason: "EIO" }]).result).toBe("FAIL");
  });

  it("warns where init is never seen to leave a CPU, and does not judge by a few switches", () => {
    expect(judgeInitSight({ switchesTo: 40, switchesFrom: 39 }).result).toBe("PASS");
    expect(judgeInitSight({ switchesTo: 40, switchesFrom: 0 }).result).toBe("WARN");
    expect(judgeInitSight({ switchesTo: 7, switchesFrom: 0 }).result).toBe("SKIP");
  });

  it("tells machine code by what was loaded, and does not guess where nothing was", () => {
    expect(judgeJit(undefined, new Map([["on_sys_exit", 4_096]])).result).toBe("PASS");
    expect(judgeJit("0", new Map([["on_sys_exit", 0]])).result).toBe("WARN");
    expect(judgeJit(undefined, new Map([["on_sys_exit", 0]])).result).toBe("SKIP");
    expect(judgeJit("1", new Map()).result).toBe("PASS");
    expect(judgeJit(undefined, new Map()).result).toBe("SKIP");
  });
});

describe("the way to the API", () => {
  it("takes the proxy that gRPC takes", () => {
    const api = { host: "waggle.example.org" };
    expect(findProxy(api, {}).url).toBeNull();
    expect(findProxy(api, { https_proxy: "http://proxy:3128", http_proxy: "http://other" }).url?.host).toBe("proxy:3128");
    expect(findProxy(api, { https_proxy: "http://proxy:3128", no_proxy: "localhost,.example.org" }).url).toBeNull();
    expect(findProxy(api, { https_proxy: "http://proxy:3128", no_grpc_proxy: "localhost", no_proxy: ".example.org" }).url).not.toBeNull();
    expect(findProxy({ host: "10.1.2.3" }, { grpc_proxy: "http://proxy", no_proxy: "10.0.0.0/8" }).url).toBeNull();
    expect(findProxy({ host: "11.1.2.3" }, { grpc_proxy: "http://proxy", no_proxy: "10.0.0.0/8" }).url).not.toBeNull();
    expect(findProxy(api, { https_proxy: "https://proxy" })).toMatchObject({ url: null, why: expect.stringContaining("not http://") });
  });

  it("warns of a certificate that ends within two weeks, of silence, of a clock apart, of signals that are not taken", () => {
    const certificate = (days: number) => ({ issuer: { O: "Example" }, valid_to: new Date(days * 86_400_000).toUTCString() }) as never;
    expect(judgeCertificate(certificate(30), "TLSv1.3", 0).result).toBe("PASS");
    expect(judgeCertificate(certificate(13), "TLSv1.3", 0).result).toBe("WARN");
    expect(judgeAck({ lastAckAtMs: 80_000, lastAckAfterMs: 7 }, 10_000, 100_000)).toMatchObject({
      result: "PASS",
      found: expect.stringContaining("7 ms"),
    });
    expect(judgeAck({ lastAckAtMs: 10_000 }, 10_000, 100_000).result).toBe("WARN");
    expect(judgeAck({}, 10_000, 100_000).result).toBe("SKIP");
    expect(judgeClock(0).result).toBe("PASS");
    expect(judgeClock(-9_000)).toMatchObject({ result: "WARN", found: expect.stringContaining("ahead of") });
    expect(judgeVersion("0.1.0", []).result).toBe("PASS");
    expect(judgeVersion("", ["tcp_rtt"]).result).toBe("WARN");
  });
});

describe("the running agent", () => {
  const governor = { budget: 0.1, kernel: 0.01, agent: 0.01, predicted: 0.02, steps: [], isExhausted: false, endedEarly: null };
  const step = { name: "calls/8", words: "1 of 8 system calls, scaled up", saves: 0.2 };

  it("warns of savings and of memory, and fails where nothing is left that would help", () => {
    const window = { governor, cpuRatio: 0.01, rssBytes: 60_000_000 };
    expect(judgeBudget(window).result).toBe("PASS");
    expect(judgeBudget({ ...window, rssBytes: 108_000_000 }).result).toBe("WARN");
    expect(judgeBudget({ ...window, governor: { ...governor, steps: [step] } })).toMatchObject({
      result: "WARN",
      cause: expect.stringContaining("1 of 8"),
    });
    expect(judgeBudget({ ...window, governor: { ...governor, isExhausted: true } }).result).toBe("FAIL");
  });

  it("warns of windows and of events that were lost", () => {
    const spool = { lostWindows: 0, refusedFrames: 0 } as never;
    expect(judgeLosses({ spool }, { drops: [] }).result).toBe("PASS");
    expect(judgeLosses({ spool }, { drops: [{ place: "texts", cause: "full", lost: 0, merged: 3 }] })).toMatchObject({
      result: "WARN",
      items: [{ name: "texts: full" }],
    });
    expect(judgeLosses({ spool: { lostWindows: 1, refusedFrames: 0 } as never }, { drops: [] }).result).toBe("WARN");
  });

  it("counts the claims of other agents, and each of them once", () => {
    const line = (name: string) => `ffff: 00000002 00000000 00010000 0001 01 1234 ${name}`;
    const text = [line("/run/x.sock"), line(`@waggle-agent-${"a".repeat(32)}`), line(`@waggle-agent-${"a".repeat(32)}`), ""].join("\n");
    expect(otherClaims(text, "/nowhere")).toBe(1);
    expect(judgeOthers(1, true).result).toBe("WARN");
    expect(judgeOthers(0, false).result).toBe("PASS");
  });
});
