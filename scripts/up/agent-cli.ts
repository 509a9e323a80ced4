// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { agentPaths } from "./agent-stage.ts";
import { agentCommand, agentEnvironment } from "./components.ts";
import { DEFAULT_PORT_BASE, defaultDataDirectory, portsFrom } from "./options.ts";

/**
 * `./waggle agent [--data DIR] <words>`: runs the staged agent's own command line, as the agent's user. What can be said without one (`doctor`, `probes`,
 * `version`) is said by the built agent where none is staged, or where this user may not become the agent's.
 */
const UNSTAGED_WORDS = ["doctor", "probes", "version"];
const root = resolve(import.meta.dirname, "../..");
const words = process.argv.slice(2);
const dataAt = words.indexOf("--data");
const [, directory] = dataAt === -1 ? [] : words.splice(dataAt, 2);
const dataDirectory = directory === undefined ? defaultDataDirectory(root) : resolve(directory);
const staged = agentPaths(dataDirectory);
const isStaged = existsSync(staged.bundlePath);
const isRoot = process.getuid?.() === 0;
const isUnstagedWord = UNSTAGED_WORDS.includes(words[0] ?? "");
if (!isStaged && !isUnstagedWord) {
  console.error(`waggle agent: no agent was started for ${dataDirectory}; run ./waggle up first, or name the directory with --data`);
  process.exit(1);
}
const baseFile = join(dataDirectory, "port-base");
const base = existsSync(baseFile) ? Number(readFileSync(baseFile, "utf8")) : DEFAULT_PORT_BASE;
const environment = isStaged ? { PATH: process.env["PATH"], ...agentEnvironment(portsFrom(base), staged) } : process.env;
const [command, ...args] =
  isStaged && (isRoot || !isUnstagedWord)
    ? agentCommand(staged, words.length === 0 ? ["status"] : words)
    : [process.execPath, join(root, "apps/agent/dist/waggle-agent.mjs"), ...words];
const { status } = spawnSync(command as string, args, { stdio: "inherit", env: environment });
process.exitCode = status ?? 1;
