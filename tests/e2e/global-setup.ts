// SPDX-License-Identifier: Apache-2.0
import type { TestProject } from "vitest/node";
import { type StackAddress, startStack } from "../support/stack.ts";

declare module "vitest" {
  export interface ProvidedContext {
    stack: StackAddress;
  }
}

/** One stack for all end-to-end tests, started as a person starts it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // On a machine that is busy with tests the agent would sample to keep to its budget, and what is counted here has to be exact. The governor has tests of its own.
  process.env["WAGGLE_AGENT_CPU_BUDGET"] ??= "200";
  const stack = await startStack();
  project.provide("stack", stack.address);
  return async () => {
    await stack.stop();
  };
}
