// SPDX-License-Identifier: Apache-2.0

/** Shared by every chart with a time axis, so that they and their ribbons line up. px. */
export const AXIS_LEFT = 60;
export const AXIS_RIGHT = 6;
export const AXIS_BOTTOM = 20;
export const AXIS_TOP = 8;
