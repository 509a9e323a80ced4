// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const script = join(import.meta.dirname, "workload.py");

export interface WorkloadOptions {
  /** Name the process takes (comm): what the probes know it by. */
  readonly name: string;
  readonly host?: string;
  readonly port?: number;
  readonly count?: number;
  readonly bytes?: number;
  /** Network namespace to run in. */
  readonly namespace?: string;
}

/** A workload that runs in the background: its first line of output, and its end. */
export interface RunningWorkload {
  readonly firstLine: Promise<string>;
  readonly done: Promise<void>;
  readonly child: ChildProcess;
}

export function startWorkload(what: "serve" | "connect" | "refuse" | "getppid", options: WorkloadOptions): RunningWorkload {
  const args = [script, "--name", options.name];
  for (const key of ["host", "port", "count", "bytes"] as const) if (options[key] !== undefined) args.push(`--${key}`, String(options[key]));
  args.push(what);
  const command = options.namespace === undefined ? ["python3", ...args] : ["ip", "netns", "exec", options.namespace, "python3", ...args];
  const child = spawn(command[0] as string, command.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
  const firstLine = once(createInterface(child.stdout), "line").then(([line]) => line as string);
  const done = once(child, "exit").then(([code, signal]) => {
    if (code !== 0) throw new Error(`workload ${what} ended with ${signal ?? `code ${code}`}`);
  });
  // A test that failed before awaiting these must not end in an unhandled rejection.
  firstLine.catch(() => {});
  done.catch(() => {});
  return { firstLine, done, child };
}

/** Runs a workload to its end. */
export async function runWorkload(what: "connect" | "refuse" | "getppid", options: WorkloadOptions): Promise<void> {
  await startWorkload(what, options).done;
}

/** Starts a listener for `count` connections; resolves with its port once it listens. */
export async function startListener(options: WorkloadOptions): Promise<RunningWorkload & { port: number }> {
  const running = startWorkload("serve", options);
  const port = Number((await running.firstLine).split(" ")[1]);
  return { ...running, port };
}

const run = (...command: string[]): string => execFileSync(command[0] as string, command.slice(1), { encoding: "utf8" });

/**
 * Two network namespaces joined by a veth pair, the way from `left` to `right` squeezed by a token bucket with a queue of a few
 * packets: a bulk transfer through it loses segments for real.
 */
export class LossyPath implements Disposable {
  readonly left: string;
  readonly right: string;
  readonly leftAddress: string;
  readonly rightAddress: string;

  /** @param network third octet of its addresses: peers are told apart by them, so that two paths at the same time need two */
  constructor(network: number) {
    this.leftAddress = `10.213.${network}.1`;
    this.rightAddress = `10.213.${network}.2`;
    const suffix = `${network}-${process.pid}`;
    this.left = `wgl-l-${suffix}`;
    this.right = `wgl-r-${suffix}`;
    const [a, b] = [`wl${suffix}`.slice(0, 14), `wr${suffix}`.slice(0, 14)];
    run("ip", "netns", "add", this.left);
    run("ip", "netns", "add", this.right);
    run("ip", "link", "add", a, "netns", this.left, "type", "veth", "peer", "name", b, "netns", this.right);
    for (const [namespace, device, address] of [
      [this.left, a, this.leftAddress],
      [this.right, b, this.rightAddress],
    ] as const) {
      run("ip", "-n", namespace, "addr", "add", `${address}/24`, "dev", device);
      run("ip", "-n", namespace, "link", "set", device, "up");
      run("ip", "-n", namespace, "link", "set", "lo", "up");
    }
    run("tc", "-n", this.left, "qdisc", "add", "dev", a, "root", "tbf", "rate", "4mbit", "burst", "5kb", "limit", "12kb");
  }

  /** RetransSegs of both namespaces, as the kernel counts them. */
  retransmittedSegments(): number {
    return [this.left, this.right].reduce(
      (sum, namespace) => sum + snmpCounter(run("ip", "netns", "exec", namespace, "cat", "/proc/net/snmp"), "RetransSegs"),
      0,
    );
  }

  [Symbol.dispose](): void {
    for (const namespace of [this.left, this.right]) run("ip", "netns", "delete", namespace);
  }
}

function snmpCounter(text: string, name: string): number {
  const [names, values] = text.split("\n").filter((line) => line.startsWith("Tcp:"));
  const index = names?.split(" ").indexOf(name) ?? -1;
  return Number(values?.split(" ")[index]);
}
