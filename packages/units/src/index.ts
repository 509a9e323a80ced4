// SPDX-License-Identifier: Apache-2.0
export { formatBytes, formatMemory } from "./bytes.ts";
export { formatClock, formatDay, formatMoment, formatRange, formatTimeTick, type Zone } from "./clock.ts";
export { formatDuration } from "./duration.ts";
export { formatCount, formatExact, formatFactor, formatRate, formatRatio, NO_VALUE, significant } from "./number.ts";
export { linearTicks, logTicks, timeTicks } from "./ticks.ts";
export { formatValue, unitInWords } from "./value.ts";
