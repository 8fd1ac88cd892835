import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import type { RunEvent } from '../../events.ts'
import type { TailReader, TailWriter } from '../tail.ts'
import { createInProcessTails } from './in-process-tails.ts'

const delta = (seq: number): RunEvent => ({ seq, type: 'text.delta', item_id: 'item_1', delta: 'x' })
const progress = (): RunEvent => ({ type: 'tool.progress', call_id: 'call_1' })

function appendRange(writer: TailWriter, from: number, to: number): void {
  for (let seq = from; seq <= to; seq++) writer.append(delta(seq))
}

/** Takes what is there, the way a cursor does. */
function drain(reader: TailReader): (number | 'progress')[] {
  const taken: (number | 'progress')[] = []
  for (;;) {
    const event = reader.tail.at(reader.position)
    if (!event) return taken
    taken.push(event.type === 'tool.progress' ? 'progress' : event.seq)
    reader.position++
  }
}

describe('what a reader sees', () => {
  test('sees events and progress in the order they were appended', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const writer = tails.open('run_1')
    writer.append(delta(1))
    writer.append(progress())
    writer.append(delta(2))
    expect(drain(reader)).toEqual([1, 'progress', 2])
    expect(reader.position).toBe(reader.tail.end())
  })

  test('is woken synchronously, once for each entry', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const writer = tails.open('run_1')
    let wakes = 0
    reader.onWake = () => wakes++
    appendRange(writer, 1, 3)
    expect(wakes).toBe(3)
  })

  test('is woken by a wake-up of its run alone, by the close, and by the next attempt', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const writer = tails.open('run_1')
    let wakes = 0
    reader.onWake = () => wakes++
    tails.wake('run_2')
    expect(wakes).toBe(0)
    tails.wake('run_1')
    writer.close()
    tails.open('run_1')
    expect(wakes).toBe(3)
  })

  test('is not woken any more once it is detached, and others still are when it detaches in a wake-up', () => {
    const tails = createInProcessTails()
    const writer = tails.open('run_1')
    const first = tails.attach('run_1')
    const second = tails.attach('run_1')
    const woken: string[] = []
    first.onWake = () => {
      woken.push('first')
      first.detach()
    }
    second.onWake = () => woken.push('second')
    writer.append(delta(1))
    writer.append(delta(2))
    expect(woken).toEqual(['first', 'second', 'second'])
  })

  test('joins a running tail at the first event after the one it has', () => {
    const tails = createInProcessTails()
    const writer = tails.open('run_1')
    writer.append(delta(1))
    writer.append(progress())
    writer.append(progress())
    writer.append(delta(2))
    writer.append(progress())
    const { tail } = tails.attach('run_1')
    expect(tail.firstSeq()).toBe(1)
    expect(tail.positionAfter(0)).toBe(0)
    expect(tail.positionAfter(1)).toBe(3)
    expect(tail.positionAfter(2)).toBe(tail.end())
  })

  test('finds nothing after a stretch that is progress only', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const writer = tails.open('run_1')
    writer.append(progress())
    writer.append(progress())
    expect(reader.tail.firstSeq()).toBe(Infinity)
    expect(reader.tail.positionAfter(0)).toBe(reader.tail.end())
  })
})

describe('what is forgotten', () => {
  test('committed entries go at once when nobody reads', () => {
    const tails = createInProcessTails()
    const writer = tails.open('run_1')
    appendRange(writer, 1, 5)
    writer.committed(3)
    const { tail } = tails.attach('run_1')
    expect(tail.start()).toBe(3)
    expect(tail.firstSeq()).toBe(4)
    expect(tail.at(2)).toBeUndefined()
  })

  test('committed entries stay until the slowest reader has passed them', () => {
    const tails = createInProcessTails()
    const writer = tails.open('run_1')
    const fast = tails.attach('run_1')
    const slow = tails.attach('run_1')
    appendRange(writer, 1, 4)
    drain(fast)
    slow.position = 1
    writer.committed(4)
    expect(slow.tail.start()).toBe(1)
    expect(drain(slow)).toEqual([2, 3, 4])
    appendRange(writer, 5, 5)
    writer.committed(5)
    expect(slow.tail.start()).toBe(4)
  })

  test('a reader that is stuck falls out of the tail after 1,024 committed entries', () => {
    const tails = createInProcessTails()
    const writer = tails.open('run_1')
    const stuck = tails.attach('run_1')
    appendRange(writer, 1, 3000)
    expect(stuck.tail.at(0)).toBeDefined()
    writer.committed(2000)
    expect(stuck.tail.start()).toBe(2000 - 1024)
    expect(stuck.tail.at(0)).toBeUndefined()
    expect(stuck.tail.firstSeq()).toBe(2000 - 1024 + 1)
  })

  test('progress after everything committed is bounded too', () => {
    const tails = createInProcessTails({ maxCommitted: 10 })
    const writer = tails.open('run_1')
    const stuck = tails.attach('run_1')
    writer.append(delta(1))
    writer.committed(1)
    for (let i = 0; i < 1000; i++) writer.append(progress())
    expect(stuck.tail.end() - stuck.tail.start()).toBe(10)
  })

  test('nothing uncommitted is forgotten, however much there is', () => {
    const tails = createInProcessTails()
    const writer = tails.open('run_1')
    appendRange(writer, 1, 5000)
    const reader = tails.attach('run_1')
    expect(drain(reader)).toHaveLength(5000)
  })

  test('the slots of forgotten entries are freed while a stretch stays uncommitted', () => {
    const tails = createInProcessTails()
    const writer = tails.open('run_1')
    const reader = tails.attach('run_1')
    for (let seq = 1; seq <= 10_000; seq++) {
      writer.append(delta(seq))
      reader.position++
      if (seq > 10) writer.committed(seq - 10)
    }
    expect(reader.tail.end() - reader.tail.start()).toBe(10)
    expect(reader.tail.at(reader.tail.start())).toEqual(delta(9991))
  })
})

describe('the end of an attempt', () => {
  test('uncommitted events vanish with the close, and positions do not go back', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const writer = tails.open('run_1')
    appendRange(writer, 1, 5)
    writer.committed(2)
    const end = reader.tail.end()
    writer.close()
    expect(drain(reader)).toEqual([1, 2])
    expect(reader.tail.end()).toBe(end)
    expect(reader.tail.at(3)).toBeUndefined()
    expect(reader.tail.positionAfter(2)).toBe(end)
  })

  test('committed events stay after the close until the last reader has passed them', () => {
    const tails = createInProcessTails()
    const first = tails.attach('run_1')
    const second = tails.attach('run_1')
    const writer = tails.open('run_1')
    appendRange(writer, 1, 3)
    writer.committed(3)
    writer.close()
    expect(drain(first)).toEqual([1, 2, 3])
    expect(first.tail.start()).toBe(0)
    expect(drain(second)).toEqual([1, 2, 3])
    expect(first.tail.start()).toBe(3)
  })

  test('the next attempt goes on in the same tail, and whoever read the last one must look into the store', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const first = tails.open('run_1')
    appendRange(first, 1, 3)
    first.committed(3)
    expect(drain(reader)).toEqual([1, 2, 3])
    first.close()
    const second = tails.open('run_1')
    second.append(delta(1_048_579))
    expect(reader.tail.at(reader.position)).toBeUndefined()
    expect(reader.position).toBeLessThan(reader.tail.start())
    expect(tails.attach('run_1').tail).toBe(reader.tail)
    reader.position = reader.tail.positionAfter(1_048_578)
    expect(drain(reader)).toEqual([1_048_579])
  })

  test('a reader that came before the first attempt reads it from its first event', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const writer = tails.open('run_1')
    appendRange(writer, 1, 2)
    expect(drain(reader)).toEqual([1, 2])
  })

  test('a replaced writer does nothing any more', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const old = tails.open('run_1')
    old.append(delta(1))
    const writer = tails.open('run_1')
    old.append(delta(2))
    old.committed(100)
    old.close()
    writer.append(delta(500))
    reader.position = reader.tail.start()
    expect(drain(reader)).toEqual([500])
    writer.committed(500)
    expect(tails.size()).toBe(1)
  })

  test('a closed writer does nothing any more', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const writer = tails.open('run_1')
    writer.close()
    writer.append(delta(1))
    writer.close()
    expect(drain(reader)).toEqual([])
    reader.detach()
    expect(tails.size()).toBe(0)
  })
})

describe('what is left behind', () => {
  test('a run is gone when it has neither writer nor readers', () => {
    const tails = createInProcessTails()
    const writer = tails.open('run_1')
    const reader = tails.attach('run_1')
    const other = tails.attach('run_2')
    expect(tails.size()).toBe(2)
    other.detach()
    other.detach()
    writer.close()
    expect(tails.size()).toBe(1)
    reader.detach()
    expect(tails.size()).toBe(0)
  })

  test('a run is gone when its only reader detaches in the wake-up of the close', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const writer = tails.open('run_1')
    reader.onWake = () => reader.detach()
    writer.close()
    expect(tails.size()).toBe(0)
  })

  test('a tail made anew in a wake-up of the close is not released with the old one', () => {
    const tails = createInProcessTails()
    const reader = tails.attach('run_1')
    const writer = tails.open('run_1')
    reader.onWake = () => {
      reader.detach()
      tails.attach('run_1')
    }
    writer.close()
    expect(tails.size()).toBe(1)
  })
})

/** What the tail should hold, told as plainly as possible. */
class ModelTail {
  /** Every position ever given out, in order; `undefined` is a position nothing is at. */
  slots: (RunEvent | undefined)[] = []
  attemptStart = 0
  committed = 0
  nextSeq = 1
  lastSeq = 0
  writing = false

  open(): void {
    if (this.slots.length > 0) this.slots.push(undefined)
    this.attemptStart = this.slots.length
    this.committed = this.slots.length
    this.nextSeq = this.lastSeq + 1 + (this.lastSeq > 0 ? 100 : 0)
    this.writing = true
  }

  append(event: RunEvent): void {
    this.slots.push(event)
  }

  commit(seq: number): void {
    while (this.committed < this.slots.length) {
      const event = this.slots[this.committed]!
      if (event.type !== 'tool.progress' && event.seq > seq) break
      this.committed++
    }
    this.lastSeq = Math.max(this.lastSeq, seq)
  }

  close(): void {
    for (let i = this.committed; i < this.slots.length; i++) this.slots[i] = undefined
    this.writing = false
  }
}

const commands = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ type: fc.constant('append' as const), count: fc.integer({ min: 1, max: 12 }) }),
    },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('progress' as const) }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('commit' as const), back: fc.nat({ max: 6 }) }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('attach' as const) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('detach' as const), reader: fc.nat() }) },
    {
      weight: 6,
      arbitrary: fc.record({
        type: fc.constant('read' as const),
        reader: fc.nat(),
        count: fc.integer({ min: 1, max: 9 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('close' as const) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('open' as const) }) },
  ),
  { maxLength: 120 },
)

test('holds, at every moment, exactly what its readers and its uncommitted stretch need', () => {
  const maxCommitted = 16
  fc.assert(
    fc.property(commands, (script) => {
      const tails = createInProcessTails({ maxCommitted })
      // The anchor keeps the tail alive; it reads nothing, so the bound on committed entries shows.
      const anchor = tails.attach('run_1')
      const { tail } = anchor
      const model = new ModelTail()
      const readers: TailReader[] = []
      let writer: TailWriter | undefined
      let woken = 0
      anchor.onWake = () => woken++
      let lastStart = 0
      let lastEnd = 0

      for (const command of script) {
        const before = woken
        if (command.type === 'open') {
          writer = tails.open('run_1')
          model.open()
          expect(woken).toBe(before + 1)
        } else if (command.type === 'append' && writer) {
          for (let i = 0; i < command.count; i++) {
            const event = delta(model.nextSeq++)
            writer.append(event)
            model.append(event)
          }
          expect(woken).toBe(before + command.count)
        } else if (command.type === 'progress' && writer) {
          const event = progress()
          writer.append(event)
          model.append(event)
        } else if (command.type === 'commit' && writer) {
          const seq = Math.max(model.lastSeq, model.nextSeq - 1 - command.back)
          writer.committed(seq)
          model.commit(seq)
        } else if (command.type === 'close' && writer) {
          model.commit(model.lastSeq)
          writer.close()
          model.close()
          writer = undefined
        } else if (command.type === 'attach') {
          readers.push(tails.attach('run_1'))
        } else if (command.type === 'detach' && readers.length > 0) {
          readers.splice(command.reader % readers.length, 1)[0]!.detach()
        } else if (command.type === 'read' && readers.length > 0) {
          const reader = readers[command.reader % readers.length]!
          if (reader.position < tail.start()) reader.position = tail.start()
          for (let i = 0; i < command.count; i++) {
            const event = tail.at(reader.position)
            expect(event).toBe(model.slots[reader.position])
            if (!event) break
            reader.position++
          }
        }
        check()
      }
      for (const reader of readers) reader.detach()
      anchor.detach()
      writer?.close()
      expect(tails.size()).toBe(0)

      function check(): void {
        expect(tail.start()).toBeGreaterThanOrEqual(lastStart)
        expect(tail.end()).toBeGreaterThanOrEqual(lastEnd)
        lastStart = tail.start()
        lastEnd = tail.end()
        expect(tail.end()).toBe(model.slots.length)
        expect(model.committed - tail.start()).toBeLessThanOrEqual(maxCommitted)
        // The anchor has passed nothing: all is held but what is beyond the bound, or of an attempt before.
        for (let p = 0; p < tail.start(); p++) expect(tail.at(p)).toBeUndefined()
        for (let p = tail.start(); p < tail.end(); p++) expect(tail.at(p)).toBe(model.slots[p])
        expect(tail.start()).toBeLessThanOrEqual(Math.max(model.attemptStart, model.committed - maxCommitted))
        const held = model.slots.slice(tail.start())
        const numbered = held.filter((event) => event !== undefined && event.type !== 'tool.progress') as {
          seq: number
        }[]
        expect(tail.firstSeq()).toBe(numbered[0]?.seq ?? Infinity)
        for (const after of [0, model.nextSeq - 3, model.nextSeq - 1, model.nextSeq]) {
          const index = held.findIndex(
            (event) => event !== undefined && event.type !== 'tool.progress' && event.seq > after,
          )
          expect(tail.positionAfter(after)).toBe(index === -1 ? tail.end() : tail.start() + index)
        }
      }
    }),
    { numRuns: 300 },
  )
})
