// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Config, ConfigError, type LoadedConfig, loadConfig } from "../config/config.ts";
import { type CapabilityReport, capabilityReport } from "../kernel/capability-report.ts";
import { KERNEL_BTF_PATH, KernelBtf } from "../kernel/kernel-btf.ts";
import { readStatusReport, type StatusReport, whyNotRunning } from "../status/status-report.ts";
import { type ApiAnswer, askApi } from "./api-answer.ts";
import { type Trial, tryPrograms } from "./trial.ts";

/** What several checks go by, found out once, when the first of them asks. */
export class DoctorFacts {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly #known = new Map<string, { readonly value?: unknown; readonly error?: unknown }>();

  constructor(environment: Readonly<Record<string, string | undefined>>) {
    this.environment = environment;
  }

  /** The configuration with its warnings. Throws a ConfigError if it cannot be used. */
  get loaded(): LoadedConfig {
    return this.#once("configuration", () => loadConfig(this.environment));
  }

  /** Throws an Error in words if the configuration cannot be used. */
  get config(): Config {
    try {
      return this.loaded.config;
    } catch (error) {
      if (error instanceof ConfigError) throw new Error("the configuration cannot be used");
      throw error;
    }
  }

  /** Known even where the configuration cannot be used, so that the kernel can still be looked at. */
  get hostRoot(): string {
    const path = this.environment.WAGGLE_AGENT_HOST_ROOT ?? "";
    return path.startsWith("/") ? path : "/";
  }

  get kernel(): CapabilityReport {
    return this.#once("kernel", capabilityReport);
  }

  /** The running kernel's BTF. Throws an Error with a code if it cannot be read, a TypeError if it cannot be understood. */
  get btf(): KernelBtf {
    return this.#once("btf", () => new KernelBtf(readFileSync(KERNEL_BTF_PATH)));
  }

  /** The report of the agent that runs with this state directory. Throws an Error in words if none does. */
  get running(): StatusReport {
    return this.#once("running", () => {
      const report = readStatusReport(this.config.stateDirectory);
      const why = whyNotRunning(report, Date.now());
      if (why !== undefined) throw new Error(`no agent runs with this state directory: ${why}`);
      return report;
    });
  }

  get isRunning(): boolean {
    try {
      return this.running !== undefined;
    } catch {
      return false;
    }
  }

  /** Whether an agent has run here, or was told where to. */
  get isInstalled(): boolean {
    const { stateDirectory, enrolmentTokenFile } = this.config;
    return (
      enrolmentTokenFile !== undefined || ["credential.json", "status.json", "progress.json"].some((name) => existsSync(join(stateDirectory, name)))
    );
  }

  get hasCredential(): boolean {
    return existsSync(join(this.config.stateDirectory, "credential.json"));
  }

  /** All programs, loaded and attached for a moment. Throws an Error in words if none can be tried. */
  trial(): Promise<Trial> {
    return this.#once("trial", () => tryPrograms(this.config));
  }

  /** What the API says to this host's hello, asked once. Throws an Error in words: not reachable, refused, not enrolled. */
  apiAnswer(): Promise<ApiAnswer> {
    return this.#once("answer", () => askApi(this.config));
  }

  #once<T>(name: string, find: () => T): T {
    let known = this.#known.get(name);
    if (known === undefined) {
      try {
        known = { value: find() };
      } catch (error) {
        known = { error };
      }
      this.#known.set(name, known);
    }
    if (known.error !== undefined) throw known.error;
    return known.value as T;
  }
}
