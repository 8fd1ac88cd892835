/*
 * Names of models, which say what the upstream answers, and of the agents that use them (the same names).
 * `short`: one small reply in one piece. `tokens-<count>-<everyMs>`: so many tokens, each its own write and HTTP chunk;
 * 0 ms: as fast as they can be written, one per stream and turn. `hang`: one token, then silence.
 */
export const upstreamModels = [
  'short',
  'hang',
  'tokens-100-0',
  'tokens-100-4',
  'tokens-50-20',
  'tokens-100-5',
  'tokens-400-5',
] as const
export type UpstreamModel = (typeof upstreamModels)[number]

/** In every token, and nowhere else on any wire of the bench: counting tokens is counting this byte. */
export const tokenMark = '~'
export const token = ` wo${tokenMark}d`

/** An agent whose model `tokens-100-0` is reached as Anthropic's, through the package of the AI SDK. */
export const aiSdkAgent = 'ai-sdk-100'

/** Agents with a scripted model. `scripted-hang`: one token, then silence. */
export const scriptedAgents = ['scripted', 'scripted-100', 'scripted-hang'] as const
export type BenchAgent = UpstreamModel | typeof aiSdkAgent | (typeof scriptedAgents)[number]
