// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vitest/config";

const exclude = ["**/node_modules/**", "**/dist/**", "**/.next/**"];

/** An emulated machine takes minutes for what others do in a second; there the console's silence is what ends a run (tests/kernels). */
const kernelTestMsMax = Number(process.env["WAGGLE_KERNEL_TEST_TIMEOUT_MS"] ?? 150_000);

/** Three sizes, told apart by file name; `./waggle test <size>` picks one. */
export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["{apps,packages,scripts,tests}/**/*.test.{ts,tsx}"],
          exclude: [...exclude, "**/*.int.test.ts", "**/*.kernel.test.ts", "tests/e2e/**"],
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["{apps,packages,tests}/**/*.int.test.ts"],
          exclude,
          testTimeout: 60_000,
          hookTimeout: 120_000,
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
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
