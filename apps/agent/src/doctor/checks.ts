// SPDX-License-Identifier: Apache-2.0
import { ConfigError } from "../config/config.ts";
import { agentChecks } from "./agent-checks.ts";
import { apiChecks } from "./api-checks.ts";
import { type CheckDefinition, fail, pass, type Verdict, warn } from "./check.ts";
import type { DoctorFacts } from "./facts.ts";
import { kernelChecks } from "./kernel-checks.ts";
import { privilegeChecks } from "./privilege-checks.ts";
import { programChecks } from "./program-checks.ts";
import { stateChecks } from "./state-checks.ts";

const configurationChecks: readonly CheckDefinition[] = [
  {
    id: "configuration",
    group: "configuration",
    title: "variables",
    about:
      "The environment's `WAGGLE_AGENT_…` variables are settings of this version and hold what they should. A variable that is none of them is a warning; one that cannot be used a failure, and then only kernel and privileges are looked at.",
    run: checkConfiguration,
  },
];

/** All checks, in the order in which a person would look. */
export const checks: readonly CheckDefinition[] = [
  ...configurationChecks,
  ...kernelChecks,
  ...privilegeChecks,
  ...programChecks,
  ...stateChecks,
  ...apiChecks,
  ...agentChecks,
];

function checkConfiguration(facts: DoctorFacts): Verdict {
  try {
    const { warnings } = facts.loaded;
    const count = Object.keys(facts.environment).filter((name) => name.startsWith("WAGGLE_AGENT_")).length;
    const found = count === 0 ? "none is set, the defaults hold" : `${count} set`;
    return warnings.length === 0 ? pass(found) : warn(found, warnings.join("; "), "correct or remove them");
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return fail("they cannot be used", error.problems.join("; "), "correct the variables named; everything else depends on them");
  }
}
