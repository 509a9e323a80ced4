// SPDX-License-Identifier: Apache-2.0
import path from "node:path";
import type { NextConfig } from "next";

const config: NextConfig = {
  // One folder that starts with `node server.js` and needs no node_modules of the workspace.
  output: "standalone",
  outputFileTracingRoot: path.join(import.meta.dirname, "../.."),
  turbopack: { root: path.join(import.meta.dirname, "../..") },
  transpilePackages: ["@waggle/query", "@waggle/units"],
  poweredByHeader: false,
  devIndicators: false,
  // `pnpm typecheck` does this; checking twice doubles the build on two cores.
  typescript: { ignoreBuildErrors: true },
  // The gallery of panel states is a tool for whoever changes them, not a page of the product.
  pageExtensions: process.env.NODE_ENV === "development" ? ["ts", "tsx", "dev.tsx"] : ["ts", "tsx"],
  images: { unoptimized: true },
};

export default config;
