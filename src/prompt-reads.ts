import { channel } from 'node:diagnostics_channel'

/** Told the absolute path of each file that `readPrompt` reads, before it does. */
export const promptReads = channel('parleykit.prompt.read')
