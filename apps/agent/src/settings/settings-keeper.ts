// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import type { SettingsReport, Settings as WireSettings } from "@waggle/proto";
import type { Logger } from "../log.ts";
import type { WindowSource } from "../window/source.ts";
import { checkSettings, fromWire, type ServerSettings } from "./server-settings.ts";
import { readSettings, writeSettings } from "./settings-file.ts";

/** The reason in the coverage of signals that the server switched off. */
export const OFF_BY_SERVER = "switched off by the server";

export interface SettingsKeeperOptions {
  readonly stateDirectory: string;
  readonly machineKey: string;
  readonly source: Pick<WindowSource, "setDisabled" | "setBudget" | "setWatched">;
  /** What the agent's configuration says. */
  readonly own: { readonly rowsMax: number; readonly cpuBudget: number };
  readonly log: Logger;
}

/** Settings of the server that are in force, for status.json. */
export interface SettingsInForce {
  /** Without what this agent cannot do. */
  readonly settings: ServerSettings;
  readonly problems: readonly string[];
  /** `server`: told by the API in this life of the agent; `file`: kept from an earlier one, the API has not spoken yet. */
  readonly from: "server" | "file";
}

/**
 * Takes over what people set for this host on the server, and keeps it in the state directory, so that a restart without the API changes nothing. Window
 * length and row cap go by the API's Config while there is one; here they are kept for when there is none.
 */
export class SettingsKeeper {
  readonly #options: SettingsKeeperOptions;
  #inForce: SettingsInForce | undefined;
  #asked: ServerSettings | undefined;
  /** As they are on disk. */
  #kept: ServerSettings | undefined;
  #keeping: Promise<void> = Promise.resolve();

  constructor(options: SettingsKeeperOptions) {
    this.#options = options;
  }

  /** undefined: the server never set anything. */
  get inForce(): SettingsInForce | undefined {
    return this.#inForce;
  }

  /** What is acknowledged in each Status. */
  get report(): SettingsReport | undefined {
    return this.#inForce === undefined ? undefined : { revision: BigInt(this.#inForce.settings.revision), problems: [...this.#inForce.problems] };
  }

  /** Follows what was kept of an earlier life, if anything. */
  restore(): void {
    const { stateDirectory, machineKey, log } = this.#options;
    const { settings, problem } = readSettings(stateDirectory, machineKey);
    if (problem !== undefined) log.warn("settings of an earlier life are ignored", { problem });
    this.#kept = settings;
    if (settings !== undefined) this.#follow(settings, "file");
  }

  /**
   * Follows what the API told, and keeps it. Never rejects: what cannot be kept is a problem among those that are acknowledged.
   * @returns whether there is something new to acknowledge
   */
  async accept(wire: WireSettings | undefined): Promise<boolean> {
    // An API that knows no settings says nothing about them.
    if (wire === undefined) return false;
    const asked = fromWire(wire);
    if (isDeepStrictEqual(asked, this.#kept) && this.#inForce?.from === "server" && isDeepStrictEqual(asked, this.#asked)) return false;
    this.#follow(asked, "server");
    const { stateDirectory, machineKey, log } = this.#options;
    // One after the other: the newest settings are to be what is on disk in the end.
    this.#keeping = this.#keeping.then(async () => {
      if (isDeepStrictEqual(asked, this.#kept)) return;
      try {
        await writeSettings(stateDirectory, machineKey, asked);
        this.#kept = asked;
      } catch (error) {
        const problem = `the settings could not be kept for the next start of the agent (${(error as Error).message})`;
        log.warn("settings could not be kept", { error: (error as Error).message });
        const now = this.#inForce;
        if (now !== undefined && this.#asked === asked) this.#inForce = { ...now, problems: [...now.problems, problem] };
      }
    });
    await this.#keeping;
    return true;
  }

  #follow(asked: ServerSettings, from: SettingsInForce["from"]): void {
    const { source, own, log } = this.#options;
    const { settings, problems } = checkSettings(asked, own);
    source.setDisabled?.(new Set(settings.signalsOff), OFF_BY_SERVER);
    source.setWatched?.(new Set(settings.watchedProcesses));
    source.setBudget?.(settings.cpuBudgetCores ?? own.cpuBudget);
    this.#asked = asked;
    this.#inForce = { settings, problems, from };
    if (asked.revision > 0)
      log.info("following settings", {
        from,
        ...settings,
        signalsOff: settings.signalsOff.join(" "),
        watchedProcesses: settings.watchedProcesses.join(" "),
      });
    for (const problem of problems) log.warn("a setting cannot be followed", { problem });
  }
}
