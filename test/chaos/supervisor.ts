import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from './seeded-random.ts'
import { startServerProcess, type ServerProcess } from './server-process.ts'

/** One life of the server. Times are milliseconds since 1970. */
export interface Generation {
  number: number
  startedAt: number
  /** When `/ready` first said so; undefined when it was killed before. */
  readyAt: number | undefined
  killedAt: number | undefined
}

export interface LiveServer {
  url: string
  process: ServerProcess
  generation: number
  /** Resolves when this life is over. */
  gone: Promise<unknown>
}

export interface Supervisor {
  readonly generations: readonly Generation[]
  /** The server that is up, or the next that will be. */
  current(): Promise<LiveServer>
  /** Kills and starts again until it has done so often enough, or the time is up; then a last server stays. */
  run(options: { kills: number; deadline: number }): Promise<LiveServer>
  stop(): Promise<void>
}

/** Starts servers on one data folder, one after the other, and kills each at a random moment: also while it starts. */
export function createSupervisor(options: { dataDir: string; random: Random }): Supervisor {
  const { dataDir, random } = options
  const generations: Generation[] = []
  let process: ServerProcess | undefined
  let up = deferred<LiveServer>()

  const start = (): { process: ServerProcess; generation: Generation } => {
    process = startServerProcess({ dataDir, program: 'embedded', environment: { REQUEST_WAIT: '2s' } })
    const generation: Generation = {
      number: generations.length,
      startedAt: process.startedAt,
      readyAt: undefined,
      killedAt: undefined,
    }
    generations.push(generation)
    return { process, generation }
  }
  const becomeReady = async (started: ReturnType<typeof start>): Promise<LiveServer> => {
    const url = await started.process.listening
    const response = await fetch(`${url}/ready`)
    if (!response.ok) throw new Error(`/ready answered ${response.status}`)
    await response.arrayBuffer()
    const { number } = started.generation
    started.generation.readyAt = Date.now()
    const live = { url, process: started.process, generation: number, gone: started.process.exited }
    up.resolve(live)
    return live
  }
  const kill = async (started: ReturnType<typeof start>): Promise<void> => {
    // Who waits for a server that never came up waits for the next.
    if (started.generation.readyAt !== undefined) up = deferred()
    started.generation.killedAt = Date.now()
    await started.process.kill()
  }
  return {
    generations,
    current: () => up.promise,
    async run({ kills, deadline }) {
      for (let i = 0; i < kills && Date.now() < deadline; i++) {
        const started = start()
        if (random.chance(0.15)) {
          await sleep(random.between(0, 350))
        } else {
          await becomeReady(started)
          await sleep(random.between(10, 400))
        }
        await kill(started)
      }
      return becomeReady(start())
    },
    async stop() {
      await process?.kill()
    },
  }
}

function deferred<T>() {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
