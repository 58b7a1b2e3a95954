%% The workloads for Erlang/OTP: every actor is a gen_server, every supervisor a supervisor.
%% main([Workload, Operations, Actors]) prints "name=value" pairs on one line, and halts.
-module(bench).
-behaviour(gen_server).
-export([main/1, start_child/2, init/1, handle_call/3, handle_cast/2, handle_info/2]).

main([Workload, Operations, Actors]) ->
    N = list_to_integer(Operations),
    A = list_to_integer(Actors),
    try run(list_to_atom(Workload), N, A) of
        Figures ->
            io:format("~s~n", [lists:join(" ", [io_lib:format("~s=~w", [K, V]) || {K, V} <- Figures])]),
            halt(0)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "~p:~p ~p~n", [Class, Reason, Stack]),
            halt(1)
    end.

%% ---- workloads

run(counting, N, _) ->
    Counter = actor({counter, 0}),
    Producer = actor({producer, Counter}),
    {S, N} = timed(fun() ->
        gen_server:cast(Producer, {produce, N, self()}),
        receive produced -> ok end,
        gen_server:call(Counter, get, infinity)
    end),
    rate(N, S);
run(ping_pong, N, _) ->
    Asker = actor({asker, [actor(echo)]}),
    {S, N} = timed(fun() -> gen_server:call(Asker, {ask, N}, infinity) end),
    rate(N, S);
run(ring, N, A) ->
    Nodes = [actor({node, undefined, self()}) || _ <- lists:seq(1, A)],
    [First | Rest] = Nodes,
    lists:foreach(fun({X, Next}) -> ok = gen_server:call(X, {next, Next}) end,
                  lists:zip(Nodes, Rest ++ [First])),
    {S, _} = timed(fun() -> gen_server:cast(First, N), receive done -> ok end end),
    rate(N, S);
run(fork_join, N, A) ->
    Rounds = N div A,
    Asker = actor({asker, [actor(echo) || _ <- lists:seq(1, A)]}),
    {S, Total} = timed(fun() -> gen_server:call(Asker, {gather, Rounds}, infinity) end),
    Total = Rounds * A,
    rate(Total, S);
run(big, N, A) ->
    Pings = N div A div 2,
    Peers = list_to_tuple([actor({peer, I, Pings, {}, self()}) || I <- lists:seq(0, A - 1)]),
    lists:foreach(fun(P) -> ok = gen_server:call(P, {peers, Peers}) end, tuple_to_list(Peers)),
    {S, _} = timed(fun() ->
        lists:foreach(fun(P) -> gen_server:cast(P, pong) end, tuple_to_list(Peers)),
        lists:foreach(fun(_) -> receive done -> ok end end, tuple_to_list(Peers))
    end),
    rate(Pings * A * 2, S);
run(spawn, N, _) ->
    {S, N} = timed(fun() -> length([actor(echo) || _ <- lists:seq(1, N)]) end),
    rate(N, S);
run(idle, N, _) ->
    Before = resident(),
    Actors = [begin {ok, P} = gen_server:start(?MODULE, echo, []), P end || _ <- lists:seq(1, N)],
    [{bytes, (resident() - Before) / length(Actors)}];
run(idle_linked, N, _) ->
    Before = resident(),
    Actors = [begin
                  Name = list_to_atom("worker_" ++ integer_to_list(I)),
                  {ok, P} = gen_server:start_link({local, Name}, ?MODULE, echo, []),
                  P
              end || I <- lists:seq(1, N)],
    [{bytes, (resident() - Before) / length(Actors)}];
run(idle_used, N, _) ->
    Before = resident(),
    Actors = [begin
                  {ok, P} = gen_server:start(?MODULE, echo, []),
                  1 = gen_server:call(P, ask),
                  P
              end || _ <- lists:seq(1, N)],
    [{bytes, (resident() - Before) / length(Actors)}];
run(million, N, _) ->
    {Start, Actors} = timed(fun() ->
        [begin {ok, P} = gen_server:start(?MODULE, echo, []), P end || _ <- lists:seq(1, N)]
    end),
    lists:foreach(fun(P) -> 1 = gen_server:call(P, ask) end, every(1000, Actors)),
    Resident = resident(),
    {Stop, _} = timed(fun() ->
        Monitors = [monitor(process, P) || P <- Actors],
        lists:foreach(fun(P) -> exit(P, shutdown) end, Actors),
        lists:foreach(fun(M) -> receive {'DOWN', M, _, _, _} -> ok end end, Monitors)
    end),
    [{resident_mb, Resident / 1.0e6}, {start_s, Start}, {stop_s, Stop}];
run(spawn_stop, N, A) ->
    Batches = N div A,
    Batch = fun(_) ->
        Actors = [begin {ok, P} = gen_server:start(?MODULE, echo, []), P end || _ <- lists:seq(1, A)],
        lists:foreach(fun(P) -> ok = gen_server:stop(P) end, Actors)
    end,
    lists:foreach(Batch, lists:seq(1, max(Batches div 5, 2))),
    erlang:garbage_collect(),
    Before = resident(),
    {S, _} = timed(fun() -> lists:foreach(Batch, lists:seq(1, Batches)) end),
    erlang:garbage_collect(),
    Leaked = max(resident() - Before, 0) / (Batches * A),
    [{leaked_bytes, Leaked}, {per_s, Batches * A / S}];
run(crash_restart, N, _) ->
    {ok, _} = supervisor:start_link(?MODULE, {supervisor, self()}),
    First = receive {up, P} -> P end,
    {S, _} = timed(fun() -> crash(First, N) end),
    rate(N, S);
run(tree, N, _) ->
    {ok, Sup} = supervisor:start_link(?MODULE, {many, self()}),
    unlink(Sup),
    {Start, _} = timed(fun() -> fill(Sup, N) end),
    N = proplists:get_value(active, supervisor:count_children(Sup)),
    Monitor = monitor(process, Sup),
    {Stop, _} = timed(fun() ->
        exit(Sup, shutdown),
        receive {'DOWN', Monitor, _, _, _} -> ok end
    end),
    [{start_s, Start}, {stop_s, Stop}];
run(restart_among, N, A) ->
    Few = among(10, N),
    Many = among(A, N),
    [{times, Many / Few}, {few_us, Few}, {many_us, Many}].

among(Children, N) ->
    {ok, Sup} = supervisor:start_link(?MODULE, {many, self()}),
    fill(Sup, Children),
    {ok, Victim} = supervisor:start_child(Sup, child(fragile, {fragile, self()})),
    receive {up, Victim} -> ok end,
    {S, _} = timed(fun() -> crash(Victim, N) end),
    unlink(Sup),
    exit(Sup, kill),
    S / N * 1.0e6.

fill(Sup, N) ->
    lists:foreach(fun(I) -> {ok, _} = supervisor:start_child(Sup, child(I, echo)) end, lists:seq(1, N)).

crash(_, 0) ->
    ok;
crash(Pid, N) ->
    gen_server:cast(Pid, crash),
    receive {up, New} -> ok end,
    1 = gen_server:call(New, ask),
    crash(New, N - 1).

%% ---- measuring

actor(State) ->
    {ok, Pid} = gen_server:start_link(?MODULE, State, []),
    Pid.

timed(Fun) ->
    erlang:garbage_collect(),
    Started = erlang:monotonic_time(nanosecond),
    Result = Fun(),
    {(erlang:monotonic_time(nanosecond) - Started) / 1.0e9, Result}.

rate(N, S) -> [{per_s, N / S}].

resident() ->
    {ok, Statm} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = binary:split(Statm, <<" ">>, [global]),
    binary_to_integer(Pages) * 4096.

every(K, List) when length(List) =< K -> [hd(List)];
every(K, List) -> [hd(List) | every(K, lists:nthtail(K, List))].

%% ---- children

child(Id, State) ->
    #{id => Id, start => {?MODULE, start_child, [State, []]}, shutdown => 5000}.

start_child(State, Options) ->
    gen_server:start_link(?MODULE, State, Options).

%% ---- callbacks of gen_server and supervisor

init({supervisor, Owner}) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000000, period => 1}, [child(fragile, {fragile, Owner})]}};
init({many, _}) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000000, period => 1}, []}};
init({fragile, Owner}) ->
    Owner ! {up, self()},
    {ok, echo};
init(State) ->
    {ok, State}.

handle_call(ask, _, echo) -> {reply, 1, echo};
handle_call(get, _, {counter, N} = State) -> {reply, N, State};
handle_call({next, Next}, _, {node, _, Owner}) -> {reply, ok, {node, Next, Owner}};
handle_call({peers, Peers}, _, {peer, I, Left, _, Owner}) -> {reply, ok, {peer, I, Left, Peers, Owner}};
handle_call({ask, N}, _, {asker, [Echo]} = State) -> {reply, ask(Echo, N, 0), State};
handle_call({gather, Rounds}, _, {asker, Workers} = State) -> {reply, gather(Workers, Rounds, 0), State}.

ask(_, 0, Total) -> Total;
ask(Echo, N, Total) -> ask(Echo, N - 1, Total + gen_server:call(Echo, ask, infinity)).

gather(_, 0, Total) ->
    Total;
gather(Workers, Rounds, Total) ->
    Requests = [gen_server:send_request(W, ask) || W <- Workers],
    Sum = lists:foldl(fun(R, Acc) -> {reply, V} = gen_server:receive_response(R, infinity), Acc + V end, 0, Requests),
    gather(Workers, Rounds - 1, Total + Sum).

handle_cast(one, {counter, N}) ->
    {noreply, {counter, N + 1}};
handle_cast({produce, N, Owner}, {producer, Counter} = State) ->
    produce(Counter, N),
    Owner ! produced,
    {noreply, State};
handle_cast(0, {node, _, Owner} = State) ->
    Owner ! done,
    {noreply, State};
handle_cast(N, {node, Next, _} = State) ->
    gen_server:cast(Next, N - 1),
    {noreply, State};
handle_cast({ping, From}, State) ->
    gen_server:cast(From, pong),
    {noreply, State};
handle_cast(pong, {peer, _, 0, _, Owner} = State) ->
    Owner ! done,
    {noreply, State};
handle_cast(pong, {peer, I, Left, Peers, Owner}) ->
    Turn = (I + 17) rem tuple_size(Peers),
    gen_server:cast(element(Turn + 1, Peers), {ping, self()}),
    {noreply, {peer, Turn, Left - 1, Peers, Owner}};
handle_cast(crash, _) ->
    exit(crashed).

handle_info(_, State) -> {noreply, State}.

produce(_, 0) -> ok;
produce(Counter, N) -> gen_server:cast(Counter, one), produce(Counter, N - 1).
