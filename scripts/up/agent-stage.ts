// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/**
 * The agent runs as a user of its own that cannot read a project lying in somebody's home. So what it needs (bundle, eBPF
 * objects, Node) is copied below /var/lib, as an installation would have it.
 */
const STAGE_ROOT = "/var/lib/waggle-agent";

/** Owns the agent's process and files. A number without an account: nothing on the machine belongs to it. */
export const AGENT_UID = 64_733;

export interface StagedAgent {
  readonly directory: string;
  readonly stateDirectory: string;
  readonly enrolmentTokenFile: string;
  readonly nodePath: string;
  readonly bundlePath: string;
}

/** Where the agent of this data directory lives, whether it is staged or not. */
export function agentPaths(dataDirectory: string): StagedAgent {
  const directory = join(STAGE_ROOT, createHash("sha256").update(dataDirectory).digest("hex").slice(0, 12));
  return {
    directory,
    stateDirectory: join(directory, "state"),
    enrolmentTokenFile: join(directory, "enrolment-token"),
    nodePath: join(STAGE_ROOT, `node-${process.version}`, "node"),
    bundlePath: join(directory, "program", "waggle-agent.mjs"),
  };
}

/** What keeps the agent from running here, in words with what to do; empty if nothing does. */
export function agentObstacles(): string[] {
  const obstacles: string[] = [];
  if (process.platform !== "linux") obstacles.push(`this is ${process.platform}; the agent needs Linux`);
  if (process.getuid?.() !== 0)
    obstacles.push("not root: starting the agent with CAP_BPF and CAP_PERFMON needs root once; run this as root or with sudo");
  if (!existsSync("/sys/kernel/btf/vmlinux")) {
    obstacles.push("no /sys/kernel/btf/vmlinux: this kernel was built without CONFIG_DEBUG_INFO_BTF, and the probes are relocated by it");
  }
  try {
    accessSync("/usr/bin/setpriv", constants.X_OK);
  } catch {
    obstacles.push("no /usr/bin/setpriv: install util-linux");
  }
  return obstacles;
}

/** Copies the built agent to its place. `instanceId` names the data directory's content: another one starts from an empty state. */
export function stageAgent(root: string, dataDirectory: string, instanceId: string): StagedAgent {
  const staged = agentPaths(dataDirectory);
  removeOrphans();
  const instanceFile = join(staged.directory, "instance");
  if (existsSync(instanceFile) && readFileSync(instanceFile, "utf8").trim() !== instanceId) rmSync(staged.directory, { recursive: true });
  mkdirSync(staged.directory, { recursive: true, mode: 0o755 });
  writeFileSync(instanceFile, `${instanceId}\n`);
  writeFileSync(join(staged.directory, "data-directory"), `${dataDirectory}\n`);

  const program = join(staged.directory, "program");
  rmSync(program, { recursive: true, force: true });
  cpSync(join(root, "apps/agent/dist"), program, { recursive: true, dereference: true });
  if (!existsSync(staged.nodePath)) {
    mkdirSync(join(staged.nodePath, ".."), { recursive: true, mode: 0o755 });
    cpSync(process.execPath, staged.nodePath, { dereference: true });
    chmodSync(staged.nodePath, 0o755);
  }
  mkdirSync(staged.stateDirectory, { recursive: true, mode: 0o750 });
  chownSync(staged.stateDirectory, AGENT_UID, AGENT_UID);
  return staged;
}

/** Hands the agent a token it alone can read. */
export function giveEnrolmentToken(staged: StagedAgent, token: string): void {
  writeFileSync(staged.enrolmentTokenFile, token, { mode: 0o400 });
  chmodSync(staged.enrolmentTokenFile, 0o400);
  chownSync(staged.enrolmentTokenFile, AGENT_UID, AGENT_UID);
}

/**
 * The words that start a program as the agent's user with exactly the two capabilities, ending with this process. Kernels before 5.11 count maps as locked
 * memory, of which a user may have little; a container that may not raise the limit keeps it.
 */
export function withAgentPrivileges(command: readonly string[]): string[] {
  const capabilities = "-all,+bpf,+perfmon";
  return [
    ...["/bin/sh", "-c", 'ulimit -l unlimited 2>/dev/null; exec "$@"', "sh"],
    "/usr/bin/setpriv",
    `--reuid=${AGENT_UID}`,
    `--regid=${AGENT_UID}`,
    "--clear-groups",
    `--inh-caps=${capabilities}`,
    `--ambient-caps=${capabilities}`,
    `--bounding-set=${capabilities}`,
    "--no-new-privs",
    "--pdeathsig=TERM",
    ...command,
  ];
}

/** Stages whose data directory is gone belong to nobody. */
function removeOrphans(): void {
  if (!existsSync(STAGE_ROOT)) return;
  for (const name of readdirSync(STAGE_ROOT)) {
    const file = join(STAGE_ROOT, name, "data-directory");
    if (existsSync(file) && !existsSync(readFileSync(file, "utf8").trim())) rmSync(join(STAGE_ROOT, name), { recursive: true });
  }
}
