// SPDX-License-Identifier: Apache-2.0
import { globSync, readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const exclude = ["**/node_modules/**", "**/dist/**", "**/.next/**"];

/** An emulated machine takes minutes for what others do in a second; there the console's silence is what ends a run (tests/kernels). */
const kernelTestMsMax = Number(process.env["WAGGLE_KERNEL_TEST_TIMEOUT_MS"] ?? 150_000);

/** Integration tests often wait, for batches, windows and leases; each file has servers of its own, some 1.5 GiB with two shards. */
const integrationFilesAtOnce = Math.max(1, Math.min(availableParallelism() + 1, Math.floor(totalmem() / 2 ** 31)));

/**
 * The files of the API that open their stores as WAGGLE_TEST_LAYOUT and WAGGLE_TEST_DATABASE say (apps/api/test/test-api.ts). To the others layouts are all
 * alike: they start a server of their own, or none.
 */
const filesWithLayout = globSync("apps/api/{src,test}/**/*.int.test.ts", { cwd: import.meta.dirname })
  .filter((file) => /\bstartTest(Api|Storage|Database)\b/.test(readFileSync(join(import.meta.dirname, file), "utf8")))
  .toSorted();

/** What takes longest and is begun first, so that no worker is left alone with it at the end. */
const longest = ["rollups.int", "levels.int", "query-tenants.int", "real-agent.int", "query.int", "storage.int", "browser", "kill"];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = longest.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return found === -1 ? longest.length : found;
    };
    const group = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    return (await super.sort(files)).sort((a, b) => group(a) - group(b) || rank(a) - rank(b));
  }
}

const integration = {
  exclude,
  globalSetup: ["apps/api/test/prepared-stores.ts"],
  maxWorkers: integrationFilesAtOnce,
  testTimeout: 120_000,
  hookTimeout: 300_000,
};

/** Sizes, told apart by file name; `./waggle test <size>` picks one. Those that may not run beside each other have a group of their own. */
export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["{apps,packages,scripts,tests}/**/*.test.{ts,tsx}"],
          exclude: [...exclude, "**/*.int.test.ts", "**/*.kernel.test.ts", "tests/e2e/**"],
          maxWorkers: availableParallelism(),
          // What takes a second takes several beside lint and types on a busy machine.
          testTimeout: 30_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          ...integration,
          name: "integration",
          include: ["{apps,packages,tests}/**/*.int.test.ts"],
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          ...integration,
          name: "integration-shards",
          include: filesWithLayout,
          env: { WAGGLE_TEST_LAYOUT: "two-shards", WAGGLE_TEST_DATABASE: "postgres" },
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "kernel",
          include: ["{apps,packages}/**/*.kernel.test.ts"],
          exclude,
          // One kernel: probes of two files would count each other's workload.
          fileParallelism: false,
          testTimeout: kernelTestMsMax,
          hookTimeout: kernelTestMsMax,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["tests/e2e/**/*.test.ts"],
          exclude,
          globalSetup: ["tests/e2e/global-setup.ts"],
          // One stack for all but the file that kills its own, which mostly waits; each counts what has its names.
          maxWorkers: 2,
          sequence: { groupOrder: 3 },
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
