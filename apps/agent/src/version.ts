// SPDX-License-Identifier: Apache-2.0

/** Version of the agent, shown by `waggle-agent version` and sent with every Hello. */
export const agentVersion = "0.1.0";
