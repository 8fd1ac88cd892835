/**
 * A whole reply is far smaller. Beyond these the provider has gone mad. The events of a step must stay far below `attemptGap`:
 * another attempt's numbers begin there.
 */
export const maxReplyBytes = 32 * 1024 * 1024
export const maxReplyEvents = 2 ** 18

/** No model asks for so many at once: each becomes an item, an event and a tool that runs. */
export const maxReplyCalls = 256
