/**
 * A whole reply is far smaller. Beyond these the provider has gone mad. A part becomes three events of a run at most (one block
 * ends, another begins and has a delta): those of a step must stay below `attemptGap`, where another attempt's numbers begin.
 */
export const maxReplyBytes = 32 * 1024 * 1024
export const maxReplyParts = 2 ** 18

/** No model asks for so many at once: each becomes an item, an event and a tool that runs. */
export const maxReplyCalls = 256

/**
 * Characters of text and reasoning in one event, or in a reply that comes in one piece: as much as the longest answers of models
 * have in all. Filters work through it before anybody else gets a turn.
 */
export const maxEventChars = 512 * 1024

/** How much of a refusal is read: it is for the log, and for the words that tell what kind it is. */
export const maxErrorBytes = 64 * 1024

/** A line of an event stream that the packages of the AI SDK read: they keep what has no end yet. */
export const maxLineBytes = 8 * 1024 * 1024
