// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { agentPaths } from "./agent-stage.ts";
import { agentCommand, agentEnvironment } from "./components.ts";
import { DEFAULT_PORT_BASE, defaultDataDirectory, portsFrom } from "./options.ts";

/** `./waggle agent [--data DIR] <words>`: runs the staged agent's own command line, as the agent's user. */
const root = resolve(import.meta.dirname, "../..");
const words = process.argv.slice(2);
const dataAt = words.indexOf("--data");
const [, directory] = dataAt === -1 ? [] : words.splice(dataAt, 2);
const dataDirectory = directory === undefined ? defaultDataDirectory(root) : resolve(directory);
const staged = agentPaths(dataDirectory);
if (!existsSync(staged.bundlePath)) {
  console.error(`waggle agent: no agent was started for ${dataDirectory}; run ./waggle up first, or name the directory with --data`);
  process.exit(1);
}
const baseFile = join(dataDirectory, "port-base");
const base = existsSync(baseFile) ? Number(readFileSync(baseFile, "utf8")) : DEFAULT_PORT_BASE;
const [command, ...args] = agentCommand(staged, words.length === 0 ? ["status"] : words);
const { status } = spawnSync(command as string, args, {
  stdio: "inherit",
  env: { PATH: process.env["PATH"], ...agentEnvironment(portsFrom(base), staged) },
});
process.exitCode = status ?? 1;
