/**
 * The throttle's decisions in Redis, each atomic, each safe to be sent twice. Redis' own clock is the only one.
 *
 * An account's `log` (ZSET: run and call → when its request began, of the last five windows: the forecast needs those
 * whose call is out; beside them a member that is no call, at 0, which tells a log from one that was deleted), `ends`
 * (the same of when its last byte left, of the last window) and `state` (hash): `paused` until when, `cap` lowered to
 * and `cap_at` since when, `guard` widened to and `guard_at` since when, `parked` why and `probed` when last tried,
 * `refusing` since when, `firewall` 403s in a row, `server` whose log is whole, `left` the server that has lost
 * nothing of it, `slot_at` when it last gave a slot.
 * Beside its log lies `paid` (ZSET: run and call → when, of the last 26 hours: calls charged, unknown or in flight).
 * A run's `ledger` (hash): `server` whose books these are, `state`, `cap`, `budget`, `charged`, `unknown`, `extra`,
 * `unusable` in a row, `moves` of credits so far, `looked` at by whoever reads the records, `alike` rows in a row with the error `alike_code`, `stop_code`, `stop_reason`,
 * `slot_at:<account>` as above; `open` (hash): call → what it holds, so that it counts once: `<1 for an extra call, else
 * 0><! where its record is known to be open, else :><account>`; beside them a field that is no call, '', which tells an
 * empty hash from one that was deleted.
 * Of a Redis of the user's own is known (hash) the `server` that was last, and in which `boot` of the machine it ran.
 */

const clock = `
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local function ms(x) return string.format('%.3f', x) end
`;

/** The books are this server's, and there: one that was restarted, replaced or emptied may have lost writes. */
const books = `
local info = redis.call('INFO', 'server')
local server = string.match(info, 'run_id:(%w+)')
local function current(ledger, open)
  return redis.call('HGET', ledger, 'server') == server and redis.call('HEXISTS', open, '') == 1
end
`;

/** Its call is on record: whoever took the same slot before or since has no say in it, since it may have been sent. */
const record = `
local function isOnRecord(held) return held and string.sub(held, 2, 2) == '!' end
`;

const guard = `
local function guardOf(state, base, widest)
  local g = redis.call('HMGET', state, 'guard', 'guard_at')
  local width, at = tonumber(g[1]), tonumber(g[2])
  if not width or not at then return base end
  local days = math.floor((now - at) / 86400000)
  return math.min(widest, math.max(base, width / 2 ^ days))
end
`;

/**
 * An account whose log may have lost calls rests until the last of them has left every window: nobody knows them all,
 * neither those of other outputs nor those of other machines. An account without a state is new where its Redis keeps
 * what it is told, or has been there for longer than that.
 */
const rest = `
local function restUntil(known, left, lost, width)
  if known then return known == left and 0 or now + width end
  if lost then return lost + width end
  if string.match(redis.call('INFO', 'persistence'), 'aof_enabled:(%d)') == '1' then return 0 end
  return now + width - 1000 * string.match(info, 'uptime_in_seconds:(%d+)')
end
`;

/**
 * Has an account given slots since then? Asked where its log is gone: somebody has deleted it. Both its state and the
 * run's ledger remember, lest they be gone together.
 */
const slots = `
local function gaveSlots(state, ledger, account, since)
  local last = {redis.call('HGET', state, 'slot_at'), redis.call('HGET', ledger, 'slot_at:' .. account)}
  return (tonumber(last[1]) or 0) > since or (tonumber(last[2]) or 0) > since
end
`;

/** Calls of an account that were charged, are unknown or in flight since a moment. */
const paid = `
local function paidKey(log) return log .. ':paid' end
`;

/** The same. */
export const paidKey = (log: string): string => `${log}:paid`;

/** A day of a clock that is set back has 25 hours. */
const paidMs = 26 * 3_600_000;

/**
 * KEYS ledger, open, then log and state of each account.
 * ARGV call, extra, limit, window, guard, widest guard, longest pause, probe after, slot's life, entry in the
 * logs, then each account's name, then the cap of an account's day (-1: none) and when that day began.
 * → slot, account | held, account (taken before, by this very command or by a process that died) | wait, ms | yield, ms | parked, reasons (`day_spent`: beside them accounts at their caps of the day) | parked meanwhile, reasons (calls are in flight) | cap | budget | on record, account (another process has opened this very call) | day, ms (the accounts' caps of the day are reached) | paused | cancelled | stopped | rebuild
 */
export const take = `${clock}${books}${record}${guard}${rest}${slots}${paid}
local call, extra = ARGV[1], ARGV[2] == '1'
local limit, window, base, widest = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local longest, probeAfter, life, entry = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local dayCap, dayBegan = tonumber(ARGV[#ARGV - 1]), tonumber(ARGV[#ARGV])
if not current(KEYS[1], KEYS[2]) then return {'rebuild'} end
local held = redis.call('HGET', KEYS[2], call)
if isOnRecord(held) then return {'on record', string.sub(held, 3)} end
if held then
  for i = 3, #KEYS, 2 do
    local at = ARGV[10 + (i - 1) / 2] == string.sub(held, 3) and redis.call('ZSCORE', KEYS[i], entry)
    if at and now - at <= life then return {'held', string.sub(held, 3)} end
    -- Whoever slept over the row may not know that another sent it: the slot counts on, under a name of its own.
    if at then redis.call('ZADD', KEYS[i], at, entry .. '@' .. at) end
    redis.call('ZREM', KEYS[i], entry)
    redis.call('ZREM', paidKey(KEYS[i]), entry)
  end
  redis.call('HDEL', KEYS[2], call)
end

local run = redis.call('HMGET', KEYS[1], 'state', 'cap', 'budget', 'charged', 'unknown', 'extra', 'lost')
if run[1] ~= 'running' then return {run[1]} end
local cap, budget = tonumber(run[2]), tonumber(run[3])
local spent, extras = tonumber(run[4]) + tonumber(run[5]), tonumber(run[6])
local open, extraOpen = -1, 0
for _, value in ipairs(redis.call('HVALS', KEYS[2])) do
  open = open + 1
  if string.sub(value, 1, 1) == '1' then extraOpen = extraOpen + 1 end
end
if cap >= 0 and spent + open + 1 > cap then
  if spent >= cap then return {'cap'} end
  return {'yield', '1000'}
end
if extra and extras + extraOpen + 1 > budget then
  if extras >= budget then return {'budget'} end
  return {'yield', '1000'}
end

local best, free, wait, parked, probe, spentOut = 0, 0, window, {}, false, 0
for i = 3, #KEYS, 2 do
  local log, state = KEYS[i], KEYS[i + 1]
  local s = redis.call('HMGET', state, 'paused', 'cap', 'cap_at', 'parked', 'probed', 'server', 'left')
  if s[6] ~= server then
    local till = restUntil(s[6], s[7], tonumber(run[7]), window + guardOf(state, base, widest))
    redis.call('HSET', state, 'server', server)
    -- That it was taken back into service may be among what was lost: it is tried again.
    if s[6] then
      redis.call('HDEL', state, 'probed')
      s[5] = false
    end
    if till > math.max(now, tonumber(s[1]) or 0) then
      s[1] = till
      redis.call('HSET', state, 'paused', ms(till))
    end
  end
  if not redis.call('ZSCORE', log, '') then
    local width = window + guardOf(state, base, widest)
    if gaveSlots(state, KEYS[1], ARGV[10 + (i - 1) / 2], now - width - life) then
      s[1] = math.max(tonumber(s[1]) or 0, now + width)
      redis.call('HSET', state, 'paused', ms(s[1]))
    end
    redis.call('ZADD', log, 0, '')
    redis.call('PEXPIRE', log, window * 6)
  end
  local paused, most = tonumber(s[1]), math.min(limit, tonumber(s[2]) or limit)
  if paused and paused > now + longest then
    redis.call('HDEL', state, 'paused')
    paused = nil
  end
  local due = not s[4] or now - (tonumber(s[5]) or 0) >= probeAfter
  if not due then
    parked[#parked + 1] = s[4]
  -- A call may be sent a slot's life after it was counted.
  elseif dayCap >= 0 and redis.call('ZCOUNT', paidKey(log), dayBegan - life, '+inf') >= dayCap then
    spentOut = spentOut + 1
  elseif paused and paused > now then
    wait = math.min(wait, paused - now)
  else
    local width = window + guardOf(state, base, widest)
    if most < limit and now - (tonumber(s[3]) or 0) > width then
      most = math.min(limit, most + math.ceil(limit / 30))
      redis.call('HSET', state, 'cap', most, 'cap_at', ms(now))
    end
    redis.call('ZREMRANGEBYSCORE', log, '(0', ms(now - 5 * window))
    local since = '(' .. ms(now - width)
    local n = redis.call('ZCOUNT', log, since, '+inf')
    if most - n > free then
      best, free, probe = i, most - n, s[4]
    elseif n >= most then
      local oldest = redis.call('ZRANGE', log, -most, -most, 'WITHSCORES')
      wait = math.min(wait, tonumber(oldest[2]) + width - now)
    end
  end
end
if best == 0 then
  if #parked + spentOut == (#KEYS - 2) / 2 then
    if #parked > 0 and spentOut > 0 then parked[#parked + 1] = 'day_spent' end
    if #parked > 0 then return {open == 0 and 'parked' or 'parked meanwhile', table.concat(parked, ', ')} end
    return open == 0 and {'day'} or {'yield', '1000'}
  end
  return {'wait', tostring(math.max(1, math.ceil(wait)))}
end
if probe then redis.call('HSET', KEYS[best + 1], 'probed', ms(now)) end
redis.call('ZADD', KEYS[best], ms(now), entry)
redis.call('PEXPIRE', KEYS[best], window * 6)
redis.call('ZREMRANGEBYSCORE', paidKey(KEYS[best]), '-inf', ms(now - ${paidMs}))
redis.call('ZADD', paidKey(KEYS[best]), ms(now), entry)
redis.call('PEXPIRE', paidKey(KEYS[best]), ${paidMs})
local account = ARGV[10 + (best - 1) / 2]
redis.call('HSET', KEYS[2], call, (extra and '1:' or '0:') .. account)
redis.call('HINCRBY', KEYS[1], 'moves', 1)
redis.call('HSET', KEYS[1], 'slot_at:' .. account, ms(now))
redis.call('HSET', KEYS[best + 1], 'slot_at', ms(now))
return {'slot', account}
`;

/** KEYS log. ARGV entry, window. The call leaves now: move its entry, or put it back where it has left the log. */
export const stamp = `${clock}
redis.call('ZADD', KEYS[1], 'GT', ms(now), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 6)
`;

/**
 * KEYS ends, state. ARGV entry, limit, window, guard, widest guard. All of a request but its last byte has left.
 * → 0: the last byte may leave; else ms until then. Not less for an account whose cap sank: what has begun goes on.
 */
export const end = `${clock}${guard}
local limit, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local width = window + guardOf(KEYS[2], tonumber(ARGV[4]), tonumber(ARGV[5]))
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms(now - width))
if redis.call('ZCARD', KEYS[1]) >= limit then
  local oldest = redis.call('ZRANGE', KEYS[1], -limit, -limit, 'WITHSCORES')
  return math.max(1, math.ceil(oldest[2] + width - now))
end
redis.call('ZADD', KEYS[1], ms(now), ARGV[1])
redis.call('PEXPIRE', KEYS[1], window * 2)
return 0
`;

const back = `
local function giveBack(log, open, call, entry)
  redis.call('ZREM', log, entry)
  redis.call('ZREM', paidKey(log), entry)
  redis.call('HDEL', open, call)
end
`;

/** An account that was to be tried with a call that didn't leave has not been tried. */
const untried = `
local function untry(log, state, entry)
  local at, probed = redis.call('ZSCORE', log, entry), redis.call('HGET', state, 'probed')
  if at and probed and tonumber(at) == tonumber(probed) then redis.call('HDEL', state, 'probed') end
end
`;

/** KEYS log, open, state. ARGV call, entry. Nothing was sent: slot and credit go back, unless the call is on record. */
export const giveBack = `${paid}${record}${back}${untried}
if isOnRecord(redis.call('HGET', KEYS[2], ARGV[1])) then return end
untry(KEYS[1], KEYS[3], ARGV[2])
giveBack(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
`;

/**
 * KEYS log, open. ARGV call, entry, slot's life. What a dead process took goes back; a slot that may still be used stays,
 * and one whose call is on record.
 */
export const drop = `${clock}${paid}${record}${back}
if isOnRecord(redis.call('HGET', KEYS[2], ARGV[1])) then return end
local at = redis.call('ZSCORE', KEYS[1], ARGV[2])
if at and now - at <= tonumber(ARGV[3]) then return end
giveBack(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
`;

/**
 * KEYS ledger, open, state and log of the account. ARGV call, charged (yes, no, unknown), unusable (1, 0 or '' for
 * neither), answered (1: the account is served), sent (0: its place in the log is free again), entry in the log.
 * → ok, unusable answers in a row | rebuild
 */
export const settle = `${clock}${books}${paid}${untried}
if not current(KEYS[1], KEYS[2]) then return {'rebuild'} end
if ARGV[2] == 'no' then redis.call('ZREM', paidKey(KEYS[4]), ARGV[6]) end
if ARGV[5] == '0' then
  untry(KEYS[4], KEYS[3], ARGV[6])
  redis.call('ZREM', KEYS[4], ARGV[6])
end
if ARGV[4] == '1' then
  redis.call('HDEL', KEYS[3], 'refusing', 'firewall')
  -- A call that was out already when the account was parked says nothing of it.
  local at, probed = redis.call('ZSCORE', KEYS[4], ARGV[6]), redis.call('HGET', KEYS[3], 'probed')
  if at and probed and tonumber(at) >= tonumber(probed) then redis.call('HDEL', KEYS[3], 'parked', 'probed') end
end
local held = redis.call('HGET', KEYS[2], ARGV[1])
if held then
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HINCRBY', KEYS[1], 'moves', 1)
  local field = ({yes = 'charged', unknown = 'unknown'})[ARGV[2]]
  if field then
    redis.call('HINCRBY', KEYS[1], field, 1)
    if string.sub(held, 1, 1) == '1' then redis.call('HINCRBY', KEYS[1], 'extra', 1) end
  end
  if ARGV[3] == '1' then redis.call('HINCRBY', KEYS[1], 'unusable', 1) end
  if ARGV[3] == '0' then redis.call('HSET', KEYS[1], 'unusable', 0) end
end
return {'ok', redis.call('HGET', KEYS[1], 'unusable')}
`;

/**
 * KEYS log, state. ARGV call, pause, limit, window, guard, widest guard, refusing for.
 * A 429: the account pauses for all. Somebody else may use it, who can't be seen while we fill the limit: its cap
 * sinks by a sixth of the limit, and comes back by a thirtieth a window. Where our own log was full, delivery may have jittered instead: the guard
 * doubles as well, and its day begins anew. Once a pause, however many calls were refused together.
 */
export const refused = `${clock}${guard}
local limit, window, base, widest = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local s = redis.call('HMGET', KEYS[2], 'paused', 'cap', 'refusing')
local paused, cap, refusing = tonumber(s[1]), math.min(limit, tonumber(s[2]) or limit), tonumber(s[3])
if not refusing then
  redis.call('HSET', KEYS[2], 'refusing', ms(now))
elseif now - refusing >= tonumber(ARGV[7]) then
  redis.call('HSET', KEYS[2], 'parked', 'rate_limited', 'probed', ms(now))
end
if paused and paused > now then
  redis.call('HSET', KEYS[2], 'paused', ms(math.max(paused, now + ARGV[2])))
  return
end
redis.call('HSET', KEYS[2], 'paused', ms(now + ARGV[2]))
local width = guardOf(KEYS[2], base, widest)
local full = redis.call('ZCOUNT', KEYS[1], ms(now - window - widest), '+inf') >= cap
if full then redis.call('HSET', KEYS[2], 'guard', math.min(widest, width * 2), 'guard_at', ms(now)) end
redis.call('HSET', KEYS[2], 'cap', math.max(3, cap - math.ceil(limit / 6)), 'cap_at', ms(now))
`;

/** For a Redis that nobody else uses and that is no cluster. What that server had of an account's calls is all there is. */
const leave = `
local function leave(server)
  for _, kind in ipairs({'{*}:account:*:state', '{*}:run:*:ledger'}) do
    for _, key in ipairs(redis.call('KEYS', kind)) do
      if redis.call('HGET', key, 'server') == server then redis.call('HSET', key, 'left', server) end
    end
  end
end
`;

/** For the same: this server is stopped properly, and keeps what it has. */
export const seal = `${books}${leave}
leave(server)
`;

/**
 * KEYS what is known of the server. ARGV this boot of the machine. For a Redis of the user's own, which writes each
 * change to its file before it answers: one that was killed has lost nothing, unless the machine went down as well.
 * Said again, it changes nothing.
 */
export const inherit = `${books}${leave}
local last = redis.call('HMGET', KEYS[1], 'server', 'boot')
if last[1] == server then return end
if last[1] and last[2] == ARGV[1] then leave(last[1]) end
redis.call('HSET', KEYS[1], 'server', server, 'boot', ARGV[1])
`;

/** KEYS ledger, open. ARGV call, whose record is open. → 1: the books are this server's, and hold it, from now on as such */
export const holds = `${books}
local held = redis.call('HGET', KEYS[2], ARGV[1])
if not held or not current(KEYS[1], KEYS[2]) then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], string.sub(held, 1, 1) .. '!' .. string.sub(held, 3))
return 1
`;

/** KEYS ledger, open. → 1: the books are this server's */
export const isWhole = `${books}
return current(KEYS[1], KEYS[2]) and 1 or 0
`;

/** KEYS log. ARGV then when and entry of each call. Calls of the day that the records know. */
export const repay = `${paid}
for at = 1, #ARGV, 2 do redis.call('ZADD', paidKey(KEYS[1]), 'NX', ARGV[at], ARGV[at + 1]) end
redis.call('PEXPIRE', paidKey(KEYS[1]), ${paidMs})
`;

/** KEYS ledger. ARGV code, reason. The first reason stands; sent twice, it is the same. */
export const stop = `
if redis.call('HSETNX', KEYS[1], 'stop_code', ARGV[1]) == 1 then redis.call('HSET', KEYS[1], 'stop_reason', ARGV[2]) end
if redis.call('HGET', KEYS[1], 'state') ~= 'cancelled' then redis.call('HSET', KEYS[1], 'state', 'stopped') end
`;

/** KEYS ledger. ARGV the code with which a row ended, '' for one that is done. → rows in a row that ended so */
export const alike = `
if ARGV[1] == '' or redis.call('HGET', KEYS[1], 'alike_code') ~= ARGV[1] then
  redis.call('HSET', KEYS[1], 'alike_code', ARGV[1], 'alike', 0)
end
return redis.call('HINCRBY', KEYS[1], 'alike', 1)
`;

/** KEYS ledger. ARGV from, to. → the state that the run had, '' where its books are lost */
export const turn = `
local state = redis.call('HGET', KEYS[1], 'state')
if state == ARGV[1] then redis.call('HSET', KEYS[1], 'state', ARGV[2]) end
return state or ''
`;

/** KEYS ledger. ARGV code, reason. A run that was stopped before stays so. → the state that the run had */
export const cancel = `
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'running' and state ~= 'paused' then return state or '' end
redis.call('HSET', KEYS[1], 'state', 'cancelled', 'stop_code', ARGV[1], 'stop_reason', ARGV[2])
return state
`;

/** KEYS state. ARGV reason, needed in a row. Parks the account, or counts towards it. */
export const park = `${clock}
if redis.call('HINCRBY', KEYS[1], 'firewall', 1) < tonumber(ARGV[2]) then return end
redis.call('HSET', KEYS[1], 'parked', ARGV[1], 'probed', ms(now))
`;

/**
 * KEYS ledger. Said before the records are read from which books are made. → moves of credits so far, now, and a mark that is
 * gone as soon as Redis loses something of the run, or its books are made by somebody else
 */
export const look = `${clock}${books}
local mark = redis.call('HGET', KEYS[1], 'looked')
if not mark or string.sub(mark, 1, #server) ~= server then
  mark = server .. ms(now)
  redis.call('HSET', KEYS[1], 'looked', mark)
end
return {redis.call('HGET', KEYS[1], 'moves') or '0', ms(now), mark}
`;

/**
 * KEYS ledger, open. ARGV start (0: only where the books are not this server's), the moves and the mark that were seen
 * before the records were read, cap, budget, charged, unknown, extra,
 * the state that the records know, the code and reason of a cancelled run, how many calls hold nothing any more and
 * those, then each open call with what it holds. Opens a run's books, or makes them again from the records. A slot that
 * was given while the records were read stands in neither, and stays. → 0: credits have moved meanwhile, or were lost
 */
export const rebuild = `${clock}${books}
local stands = current(KEYS[1], KEYS[2])
if stands and ARGV[1] == '0' then return 1 end
if redis.call('HGET', KEYS[1], 'looked') ~= ARGV[3] then return 0 end
if stands and (redis.call('HGET', KEYS[1], 'moves') or '0') ~= ARGV[2] then return 0 end
local was = redis.call('HMGET', KEYS[1], 'server', 'left')
local isNew = ARGV[1] == '1' and not was[1]
if not (stands or isNew or was[1] and was[1] == was[2]) then redis.call('HSET', KEYS[1], 'lost', ms(now)) end
local state = redis.call('HGET', KEYS[1], 'state')
if ARGV[1] == '1' or not state then
  state = ARGV[9]
  redis.call('HDEL', KEYS[1], 'stop_code', 'stop_reason')
  if state == 'cancelled' then redis.call('HSET', KEYS[1], 'stop_code', ARGV[10], 'stop_reason', ARGV[11]) end
end
local gone = tonumber(ARGV[12])
for at = 13, 12 + gone do redis.call('HDEL', KEYS[2], ARGV[at]) end
if not stands then redis.call('DEL', KEYS[2]) end
redis.call('HSET', KEYS[2], '', '')
redis.call('HSET', KEYS[1], 'server', server, 'looked', server .. ms(now), 'state', state, 'cap', ARGV[4],
  'budget', ARGV[5], 'charged', ARGV[6], 'unknown', ARGV[7], 'extra', ARGV[8], 'unusable', 0)
for at = 13 + gone, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1]) end
return 1
`;
