// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, existsSync, mkdirSync, rmdirSync, statfsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { formatBytes } from "@waggle/units";
import type { Config } from "../config/config.ts";
import { readHostIdentity } from "../host/identity.ts";
import { readCredential, readEnrolmentToken } from "../stream/credential.ts";
import { type CheckDefinition, fail, pass, skip, type Verdict, warn } from "./check.ts";
import type { DoctorFacts } from "./facts.ts";

const FIX_TOKEN = "put an enrolment token into a file and set WAGGLE_AGENT_ENROLMENT_TOKEN_FILE";

/** The state directory: may it be used, is there room for the spool, is the credential good and closed to others. */
export const stateChecks: readonly CheckDefinition[] = [
  {
    id: "state-directory",
    group: "state",
    title: "directory",
    about: "`WAGGLE_AGENT_STATE_DIRECTORY` can be written to by this user, or can be made.",
    run: (facts) => checkDirectory(facts.config.stateDirectory, facts.isRunning),
  },
  {
    id: "spool-space",
    group: "state",
    title: "room for the spool",
    about: "Free space on the state directory's disk against `WAGGLE_AGENT_SPOOL_BYTES`, by what this user may take.",
    run: (facts) => checkSpace(facts.config),
  },
  {
    id: "enrolment",
    group: "state",
    title: "enrolment",
    about:
      "The host's own credential is there, of this machine, and closed to others; or a token is there to enrol with. Before anything is installed it is skipped.",
    run: checkEnrolment,
  },
];

function checkDirectory(path: string, isRunning: boolean): Verdict {
  const fix = `make it for the agent's user (install -d -o USER ${path}) or set WAGGLE_AGENT_STATE_DIRECTORY`;
  if (!existsSync(path)) {
    const above = firstExisting(path);
    try {
      accessSync(above, constants.W_OK);
      return pass(`${path} is not there yet and can be made`);
    } catch {
      return fail(`${path} is not there`, `${above} is not writable for user ${process.geteuid?.()}`, fix);
    }
  }
  const probe = join(path, `.doctor-${process.pid}`);
  try {
    mkdirSync(probe);
    rmdirSync(probe);
    return pass(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isRunning) return skip(`${path} belongs to the running agent's user, and this is another; run doctor as the agent's`);
    return fail(path, `user ${process.geteuid?.()} cannot write to it (${code})`, fix);
  }
}

function checkSpace(config: Config): Verdict {
  const { bavail, bsize } = statfsSync(firstExisting(config.stateDirectory));
  const free = bavail * bsize;
  const found = `${formatBytes(free)} free for a spool of up to ${formatBytes(config.spoolBytesMax)}`;
  if (free > config.spoolBytesMax) return pass(found);
  return warn(found, "on a full disk windows are held in memory, and the oldest are dropped", "free some space or lower WAGGLE_AGENT_SPOOL_BYTES");
}

function firstExisting(path: string): string {
  let found = path;
  while (!existsSync(found) && found !== dirname(found)) found = dirname(found);
  return found;
}

function checkEnrolment(facts: DoctorFacts): Verdict {
  const { config } = facts;
  const token = tokenProblem(config);
  const path = join(config.stateDirectory, "credential.json");
  if (!facts.hasCredential) {
    if (token === undefined) return pass("not yet; the agent enrols with its token");
    if (!facts.isInstalled) return skip(`nothing is installed yet, and ${token}`);
    try {
      accessSync(config.stateDirectory, constants.X_OK);
    } catch {
      return skip(`${config.stateDirectory} is closed to this user; run doctor as the agent's`);
    }
    return fail("not enrolled", `there is no ${path}, and ${token}`, FIX_TOKEN);
  }
  if ((statSync(path).mode & 0o077) !== 0) return warn(path, "other users can read the host's credential", `chmod 600 ${path}`);
  try {
    accessSync(path, constants.R_OK);
  } catch {
    return skip(`${path} is closed to this user; run doctor as the agent's`);
  }
  const credential = readCredential(config.stateDirectory, readHostIdentity(config.hostRoot, config.stateDirectory).machineKey);
  if (credential !== undefined) return pass(`host ${credential.hostName} (${credential.hostId})`);
  const found = `${path} is unreadable or of another machine`;
  if (token === undefined) return warn(found, "the disk was copied, or the file was damaged", "start the agent: it enrols again with its token");
  return fail(found, token, FIX_TOKEN);
}

/** Why there is no token to enrol with; undefined if there is one. */
function tokenProblem(config: Config): string | undefined {
  if (config.enrolmentTokenFile === undefined) return "WAGGLE_AGENT_ENROLMENT_TOKEN_FILE is not set";
  try {
    readEnrolmentToken(config.enrolmentTokenFile);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
