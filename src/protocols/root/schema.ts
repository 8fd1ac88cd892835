import { z } from 'zod'
import { onDisconnectSchema } from '../../run-state.ts'
import { sessionIdSchema } from '../session-id.ts'

/*
 * The quick routes take what the five systems they stand for take: fields they do not know are ignored, null counts as
 * absent, and faults are worded as FastAPI words them (see `errors.ts`).
 */
const sessionId = sessionIdSchema.nullish()
const flag = z.boolean().nullish()

/** What the run may take, and what becomes of it when its client leaves. */
const policies = {
  max_steps: z.int().min(0).max(1000).nullish(),
  force_provide_answer: flag,
  on_disconnect: onDisconnectSchema.nullish(),
}

/** Body of `POST /chat`. Exactly one of `message` and `input` must be there. */
export const chatSchema = z.object({
  message: z.string().nullish(),
  input: z.string().nullish(),
  session_id: sessionId,
  conversation_id: sessionId,
  system_prompt: z.string().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  max_tokens: z.int().min(1).max(4000).nullish(),
  ...policies,
})
export type ChatBody = z.infer<typeof chatSchema>

/** Body of `POST /stream`. */
export const postStreamSchema = z.object({
  input: z.string().nullish(),
  message: z.string().nullish(),
  session_id: sessionId,
  ...policies,
})

const numberText = z
  .string()
  .regex(/^\d{1,9}$/, 'Input should be a valid integer, unable to parse string as an integer')
  .transform(Number)
  .pipe(z.int().min(0).max(1000))

const flagText = z
  .enum(['true', 'false', '1', '0', 'True', 'False', 'yes', 'no', 'on', 'off'], {
    error: 'Input should be a valid boolean, unable to interpret input',
  })
  .transform((text) => ['true', '1', 'True', 'yes', 'on'].includes(text))

/** Query of `GET /stream`. */
export const getStreamSchema = z.object({
  message: z.string(),
  session_id: sessionId,
  max_steps: numberText.optional(),
  force_provide_answer: flagText.optional(),
  /** `continue`: an `EventSource` that loses its connection finds its run alive when it comes back. */
  on_disconnect: onDisconnectSchema.optional(),
})
