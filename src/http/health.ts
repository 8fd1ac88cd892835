import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Logger } from '../logger.ts'
import type { HttpContext } from './request.ts'
import { sendJson } from './respond.ts'

export interface HealthOptions {
  clock: Clock
  logger: Logger
  version: string
  /** Live conversations. */
  countConversations(): Promise<number>
  /** Throws where the store does not answer. */
  ping(): Promise<void>
  /** The node takes no more work. */
  isDraining(): boolean
}

const countKeptMs = 1000

/** `/health` says that the process lives, whatever state it is in; `/ready` whether it wants traffic. */
export function createHealth(options: HealthOptions) {
  const { clock, logger, version } = options
  const startedAt = clock.monotonic()
  let count = 0
  let countedAt = -Infinity

  /** The last known number where the store does not answer. */
  async function countConversations(): Promise<number> {
    if (clock.monotonic() - countedAt < countKeptMs) return count
    try {
      count = await options.countConversations()
      countedAt = clock.monotonic()
    } catch (error) {
      logger.warn({ err: error }, 'health: the store did not count its conversations')
    }
    return count
  }

  return {
    async health(context: HttpContext): Promise<Response> {
      const conversations = await countConversations()
      return sendJson(context, {
        headers: { 'cache-control': 'no-store' },
        body: {
          success: true,
          status: 'healthy',
          data: { status: 'ok' },
          timestamp: new Date(clock.now()).toISOString(),
          active_conversations: conversations,
          sessions: conversations,
          uptime: Math.round(clock.monotonic() - startedAt) / 1000,
          version,
        },
      })
    },

    /** Throws `draining`, `store_unavailable`. */
    async ready(context: HttpContext): Promise<Response> {
      if (options.isDraining()) throw new AppError('draining', { retryAfterMs: 1000 })
      try {
        await options.ping()
      } catch (error) {
        throw AppError.is(error) ? error : new AppError('store_unavailable', { cause: error })
      }
      return sendJson(context, {
        headers: { 'cache-control': 'no-store' },
        body: { success: true, status: 'ready', data: { status: 'ready' }, checks: { store: 'ok' } },
      })
    },
  }
}
