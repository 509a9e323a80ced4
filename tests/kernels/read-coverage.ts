// SPDX-License-Identifier: Apache-2.0
/**
 * Opens what the agent measures with on the running kernel, reads one window, and prints as JSON what the agent says of each signal; what is not exact it
 * says on stderr too. In a guest of the kernel matrix or on the host, as root or as the agent's own user.
 */
import { release } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { openSource } from "../../apps/agent/src/commands/open-source.ts";
import { loadConfig } from "../../apps/agent/src/config/config.ts";
import { SystemClock } from "../../apps/agent/src/host/clock.ts";
import { silentLogger } from "../../apps/agent/src/log.ts";
import { assembleWindow } from "../../apps/agent/src/window/assemble.ts";
import type { KernelCoverage } from "./results.ts";

const WINDOW_MS = 1_000;

const { config } = loadConfig({});
const source = await openSource(config, new SystemClock(config.hostRoot), silentLogger);
await source.readWindow();
await sleep(WINDOW_MS);
const data = await source.readWindow();
const own = { cpuNs: 0n, rssBytes: 0n, lostWindows: 0n, coarsenedWindows: 0n };
const { coverage } = assembleWindow(data, own, { refusedSignals: new Map(), bytesMax: Number.MAX_SAFE_INTEGER });
source.close();
const result: KernelCoverage = {
  release: release(),
  signals: [...coverage].map(({ signal, state, reason }) => ({ signal, state, reason })),
  programs: data.programs.map(({ program, attached, reason }) => ({ program, attached, reason })),
};
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
for (const { program, attached, reason } of result.programs) if (!attached) console.error(`${program}: ${reason}`);
for (const { signal, state, reason } of result.signals) if (state !== "exact") console.error(`${signal}: ${state}: ${reason}`);
