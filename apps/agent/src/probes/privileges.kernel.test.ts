// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, realpathSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { catalogue } from "@waggle/signals";
import { expect, it } from "vitest";
import { describeKernel, kernelTells, objectDirectory, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import { PARANOID_MAX, readParanoid } from "./failure.ts";
import type { ProgramState } from "./program-state.ts";

const script = fileURLToPath(new URL("../../test/read-one-window.ts", import.meta.url));

interface Answer {
  uid: number;
  programs: ProgramState[];
  window: { rows: Record<string, Record<string, string>[]>; coverage: { signal: string; state: string; reason: string }[] };
}

const root = fileURLToPath(new URL("../../../../", import.meta.url));

/** Runs the script as uid 65534 with nothing but these capabilities; `work` happens inside its window. */
function readAs(capabilities: string, work: () => Promise<void>): Promise<Answer> {
  // The project may lie in a home that uid 65534 cannot enter: in a mount namespace of its own it is also in a place it can.
  const place = mkdtempSync(join(tmpdir(), "waggle-privileges-"));
  chmodSync(place, 0o755);
  const placed = (path: string): string => (path.startsWith(root) ? join(place, path.slice(root.length)) : path);
  const child = spawn(
    "unshare",
    [
      "--mount",
      "sh",
      "-c",
      'mount --bind "$1" "$2" && shift 2 && exec "$@"',
      "sh",
      root,
      place,
      "setpriv",
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      "--no-new-privs",
      `--bounding-set=-all,${capabilities}`,
      `--inh-caps=-all,${capabilities}`,
      `--ambient-caps=-all,${capabilities}`,
      placed(realpathSync(process.execPath)),
      placed(script),
      placed(objectDirectory),
    ],
    { cwd: "/", stdio: ["pipe", "pipe", "pipe"] },
  );
  let out = "";
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  return new Promise((resolve, reject) => {
    child.stdout.on("data", (chunk) => {
      out += chunk;
      if (out === "ready\n") work().then(() => child.stdin.write("\n"), reject);
    });
    // Not "exit", by which not all of what it said need have come.
    child.on("close", (code, signal) => {
      // Not recursive: were the mount visible here, the project would be what goes.
      rmdirSync(place);
      if (code === 0) resolve(JSON.parse(out.slice("ready\n".length)));
      else reject(new Error(`ended with ${code ?? signal}: ${errors}`));
    });
  });
}

/** Whether this kernel is one that keeps its CPUs' clocks from CAP_PERFMON: it has to say so, and its setting has to be above what others know. */
function areClocksClosed({ programs }: Answer): boolean {
  const refusal = programs.find(({ program }) => program === "on_cpu_clock")?.failure;
  return readParanoid() > PARANOID_MAX && refusal?.errnoName === "EACCES" && refusal.step === "attach";
}

describeKernel("privileges", () => {
  it("needs CAP_BPF and CAP_PERFMON and no root", async () => {
    using workload = new Workload();
    await workload.start("wgl-priv-srv", "serve", ["127.0.0.1", 47_301]);
    const answer = await readAs("+bpf,+perfmon", async () => {
      await workload.run("wgl-priv", "getppid", [1009]);
      await workload.run("wgl-priv", "connect", ["127.0.0.1", 47_301, 23]);
    });
    expect(answer.uid).toBe(65534);
    expect(answer.programs.filter(({ program, attached }) => !attached && !(program === "on_cpu_clock" && areClocksClosed(answer)))).toEqual([]);
    // What the kernel does not tell anybody has nothing to do with privileges.
    const untold = [...(kernelTells.resetReasons ? [] : ["tcp_resets"]), ...(kernelTells.dropSockets ? [] : ["packet_drops"])];
    const inexact = answer.window.coverage.filter(({ signal, state }) => state !== "exact" && !(state === "fallback" && untold.includes(signal)));
    if (!areClocksClosed(answer)) expect(inexact).toEqual([]);
    else {
      expect(inexact.map(({ signal, state }) => [signal, state])).toContainEqual(["cpu_profile", "failed"]);
      for (const { reason } of inexact) expect(reason).toContain("kernel.perf_event_paranoid");
    }
    const rows = (signal: string, filter: Record<string, string>) =>
      (answer.window.rows[signal] ?? []).filter((row) => Object.entries(filter).every(([name, value]) => row[name] === value));
    expect(rows("syscalls", { process: "wgl-priv", syscall: "getppid" })).toMatchObject([{ count: "1009" }]);
    expect(rows("tcp_connections", { process: "wgl-priv" })).toMatchObject([{ opened: "23", closed: "23" }]);
  });

  it("names the functions of the kernel, and of files that its user may read", async () => {
    using closed = new Workload("profile-workload.c");
    using open = new Workload("profile-workload.c");
    const readable = open.linkAs("readable");
    chmodSync(dirname(readable), 0o755);
    const answer = await readAs("+bpf,+perfmon", async () => {
      await closed.run("wgl-closed", "spin", [700]);
      await open.run("wgl-open", "spin", [700]);
      await open.run("wgl-open", "sleep", [23, 20]);
    });
    const frames = new Map((answer.window.rows.stack_frames ?? []).map((row) => [row.stack, (row.frames as string).split(";")]));
    const stacks = (signal: string, process: string): string[][] =>
      (answer.window.rows[signal] ?? []).filter((row) => row.process === process).map(({ stack }) => frames.get(stack) ?? []);
    if (!areClocksClosed(answer)) {
      expect(stacks("cpu_profile", "wgl-open").flat()).toContain("spin_in_here [workload]");
      expect(stacks("cpu_profile", "wgl-closed").flat()).toContain("[workload]");
      expect(stacks("cpu_profile", "wgl-closed").flat()).not.toContain("spin_in_here [workload]");
    }
    expect(stacks("off_cpu", "wgl-open").some((stack) => stack.some((frame) => /nanosleep.*_\[k\]$/.test(frame)))).toBe(true);
  });

  it("without CAP_PERFMON says which capability is missing, for every signal", async () => {
    const answer = await readAs("+bpf", async () => {});
    expect(answer.programs.every(({ attached }) => !attached)).toBe(true);
    expect(answer.window.coverage).toHaveLength(catalogue.filter(({ bpf }) => bpf !== null).length);
    for (const { state, reason } of answer.window.coverage) {
      expect(state).toBe("failed");
      expect(reason).toContain("missing CAP_PERFMON");
    }
  });

  it("without any capability says that both are missing", async () => {
    const answer = await readAs("-bpf", async () => {});
    for (const { reason } of answer.window.coverage) expect(reason).toContain("missing CAP_BPF and CAP_PERFMON");
  });
});

describeKernel("a program that cannot be loaded", () => {
  const withObjects = async (change: (directory: string) => void, body: (directory: string) => Promise<void>): Promise<void> => {
    const directory = mkdtempSync(join(tmpdir(), "waggle-objects-"));
    try {
      for (const name of ["syscall", "tcp_connection", "tcp_retransmit"])
        copyFileSync(join(objectDirectory, `${name}.bpf.o`), join(directory, `${name}.bpf.o`));
      change(directory);
      await body(directory);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };

  it("becomes coverage with the reason while the others run", async () => {
    await withObjects(
      (directory) => writeFileSync(join(directory, "tcp_connection.bpf.o"), "no ELF file"),
      async (directory) => {
        using workload = new Workload();
        using source = await openSource({ objectDirectory: directory });
        await source.readWindow();
        await workload.run("wgl-partial", "getppid", [23]);
        const window = await source.readWindow();
        const state = new Map(window.coverage.map((entry) => [entry.signal, entry]));
        expect(state.get("syscalls")).toEqual({ signal: "syscalls", state: "exact", reason: "" });
        expect(state.get("tcp_retransmits")?.state).toBe("exact");
        expect(state.get("tcp_connections")?.state).toBe("failed");
        expect(state.get("tcp_connections")?.reason).toContain("on_inet_sock_set_state");
        expect(sumOf(rowsOf(window, "syscalls", { process: "wgl-partial", syscall: "getppid" }), "count")).toBe(23);
        expect(window.rows.has("tcp_connections")).toBe(false);
      },
    );
  });

  it("is unsupported, in words, if this kernel has no such tracepoint", async () => {
    await withObjects(
      (directory) => {
        // The section names the hook: another name of the same length is a tracepoint that no kernel has.
        const path = join(directory, "tcp_retransmit.bpf.o");
        const bytes = readFileSync(path);
        for (let at = bytes.indexOf("tp_btf/tcp_retransmit_synack"); at >= 0; at = bytes.indexOf("tp_btf/tcp_retransmit_synack", at + 1)) {
          bytes.write("tp_btf/tcp_retransmit_nowhere".slice(0, 28), at);
        }
        writeFileSync(path, bytes);
      },
      async (directory) => {
        const { programPlans } = await import("./programs.ts");
        const programs = programPlans.map((plan) =>
          plan.name === "on_tcp_retransmit_synack" ? { ...plan, tracepoint: "tcp_retransmit_nowher" } : plan,
        );
        using source = await openSource({ objectDirectory: directory, programs });
        const failure = source.programs().find(({ program }) => program === "on_tcp_retransmit_synack")?.failure;
        expect(failure).toMatchObject({ step: "decide", state: "unsupported" });
        expect(failure?.message).toContain("no tracepoint tcp_retransmit_nowher");
        const window = await source.readWindow();
        expect(window.coverage.find(({ signal }) => signal === "tcp_retransmits")).toMatchObject({ state: "unsupported" });
        expect(window.coverage.find(({ signal }) => signal === "tcp_connections")).toMatchObject({ state: "exact" });
      },
    );
  });

  it("passes on what the verifier said", async () => {
    await withObjects(
      (directory) => {
        // Without the licence string the kernel refuses helpers that are for GPL-compatible programs only.
        const path = join(directory, "syscall.bpf.o");
        const bytes = readFileSync(path);
        bytes.write("Proprietary!", bytes.indexOf("Dual BSD/GPL"));
        writeFileSync(path, bytes);
      },
      async (directory) => {
        using source = await openSource({ objectDirectory: directory });
        const failure = source.programs().find(({ program }) => program === "on_sys_enter")?.failure;
        expect(failure).toMatchObject({ step: "load", state: "failed", errnoName: "EINVAL" });
        expect(failure?.message).toMatch(/GPL/);
        expect(source.programs().find(({ program }) => program === "on_inet_sock_set_state")?.attached).toBe(true);
      },
    );
  });

  it("refuses a second readWindow while one is under way", async () => {
    using source = await openSource();
    const first = source.readWindow();
    await expect(source.readWindow()).rejects.toThrow("while a window is being read");
    await first;
  });
});
