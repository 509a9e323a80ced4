// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { RotatingLog } from "./rotating-log.ts";

export interface ComponentSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

const RESTART_DELAY_MIN_MS = 500;
const RESTART_DELAY_MAX_MS = 10_000;
/** A component that ran this long before it died starts again without the doubled delay. */
const RUN_STEADY_MS = 30_000;
const STOP_GRACE_MS = 8_000;

/**
 * Keeps a handful of processes running: starts them in a process group of their own (so that a terminal's Ctrl-C reaches only
 * the supervisor, which then stops them in order), writes their output to bounded logs, and starts one again that dies.
 */
export class Supervisor {
  readonly #logDirectory: string;
  readonly #say: (line: string) => void;
  readonly #components: Component[] = [];

  constructor(logDirectory: string, say: (line: string) => void) {
    this.#logDirectory = logDirectory;
    this.#say = say;
  }

  start(spec: ComponentSpec): Component {
    const component = new Component(spec, new RotatingLog(join(this.#logDirectory, `${spec.name}.log`)), this.#say);
    this.#components.push(component);
    return component;
  }

  /** Stops everything, last started first. Resolves when no process is left. */
  async stop(): Promise<void> {
    for (const component of this.#components.toReversed()) await component.stop();
  }
}

export class Component {
  readonly #spec: ComponentSpec;
  readonly #log: RotatingLog;
  readonly #say: (line: string) => void;
  #child: ChildProcess | undefined;
  #gone: Promise<void> = Promise.resolve();
  #stopping = false;
  #delayMs = RESTART_DELAY_MIN_MS;
  #restart: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(spec: ComponentSpec, log: RotatingLog, say: (line: string) => void) {
    this.#spec = spec;
    this.#log = log;
    this.#say = say;
    this.#spawn();
  }

  get name(): string {
    return this.#spec.name;
  }

  /** How often the component has died on its own since it was started. */
  get failures(): number {
    return this.#failures;
  }

  get logPath(): string {
    return this.#log.path;
  }

  /** The last lines of the component's log, for an error message. */
  logTail(lines = 12): string {
    try {
      return readFileSync(this.#log.path, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
    } catch {
      return "";
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child?.pid === undefined) return;
    child.kill("SIGTERM");
    // The group goes too: what a component leaves behind would hold ports and locks.
    const force = setTimeout(() => killGroup(child.pid as number), STOP_GRACE_MS);
    await this.#gone;
    clearTimeout(force);
    killGroup(child.pid);
  }

  #spawn(): void {
    const { command, args, env, cwd } = this.#spec;
    const startedAt = performance.now();
    const child = spawn(command, args, { cwd, env: { ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.#child = child;
    child.stdout.on("data", (chunk: Uint8Array) => this.#log.write(chunk));
    child.stderr.on("data", (chunk: Uint8Array) => this.#log.write(chunk));
    this.#gone = new Promise((resolve) => {
      child.once("error", (error) => {
        this.#log.write(Buffer.from(`could not start ${command}: ${error.message}\n`));
        resolve();
        this.#died(`could not be started: ${error.message}`, startedAt);
      });
      child.once("exit", (code, signal) => {
        resolve();
        if (child.pid !== undefined) killGroup(child.pid);
        this.#died(signal === null ? `exited with code ${code}` : `was ended by ${signal}`, startedAt);
      });
    });
  }

  #died(how: string, startedAt: number): void {
    this.#child = undefined;
    if (this.#stopping) return;
    this.#failures++;
    if (performance.now() - startedAt > RUN_STEADY_MS) this.#delayMs = RESTART_DELAY_MIN_MS;
    this.#say(`${this.#spec.name} ${how}; starting it again in ${this.#delayMs / 1000} s (log: ${this.#log.path})`);
    this.#restart = setTimeout(() => this.#spawn(), this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, RESTART_DELAY_MAX_MS);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // The group is empty: nothing was left behind.
  }
}
