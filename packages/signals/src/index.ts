// SPDX-License-Identifier: Apache-2.0
export * from "./catalogue.ts";
export * from "./dimension-values.ts";
export * from "./dimensions.ts";
export * from "./drops.ts";
export * from "./fold.ts";
export * from "./histogram.ts";
export * from "./levels.ts";
export * from "./quantities.ts";
export * from "./row-caps.ts";
export * from "./server.ts";
export * from "./signal.ts";
export * from "./stack-name.ts";
export * from "./storage.ts";
export * from "./table.ts";
export * from "./wire.ts";
