function cropzoom_subscriber(endpoint, keypoint)
% CROPZOOM_SUBSCRIBER  Receives poses in MATLAB or GNU Octave.
%
%   cropzoom_subscriber('tcp://127.0.0.1:5660', 'snout')
%
% prints a line for each plausible pose of an animal that is found: frame, x, y, likelihood. It ends with the
% run. Write what to switch, and on which pose, into act() below.
%
% Octave needs its package zeromq (Debian: octave-zeromq). MATLAB needs JeroMQ (ZeroMQ in Java), one file
% (jeromq-0.6.0.jar or newer). In each MATLAB session:  javaaddpath('jeromq-0.6.0.jar')
  if nargin < 1, endpoint = 'tcp://127.0.0.1:5660'; end
  if nargin < 2, keypoint = 'snout'; end
  socket = connect(endpoint, {'pose/', 'end/'});
  expected = [];
  missed = 0;
  while true
    topic = receive(socket);
    message = jsondecode(receive(socket));
    if strncmp(topic, 'end/', 4)
      fprintf(2, 'the run ended: %s; %d poses missed\n', message.reason, missed);
      break
    end
    if ~isempty(expected), missed = missed + max(0, message.seq - expected); end
    expected = message.seq + 1;
    act(message, keypoint);
  end
  disconnect(socket);
end

function act(pose, keypoint)
  values = numbers(pose.keypoints.(keypoint));  % x, y, likelihood
  if ~strcmp(pose.state, 'tracking') || ~isequal(pose.plausible, true) || isnan(values(1))
    return  % not found, or not believable (pose.doubt says why): do nothing, or switch off
  end
  fprintf('%d %.3f %.3f %.3f\n', pose.frame, values);
  if is_octave(), fflush(stdout); end
end

function values = numbers(decoded)
% null arrives as NaN, or as an empty cell beside other values
  if iscell(decoded)
    decoded(cellfun(@isempty, decoded)) = {NaN};
    decoded = cell2mat(decoded);
  end
  values = double(decoded(:))';
end

function socket = connect(endpoint, topics)
  if is_octave()
    pkg load zeromq
    socket = zmq_socket(ZMQ_SUB);
    zmq_connect(socket, endpoint);
    for i = 1:numel(topics), zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topics{i}); end
  else
    context = org.zeromq.ZContext();
    socket = context.createSocket(org.zeromq.SocketType.SUB);
    socket.connect(endpoint);
    for i = 1:numel(topics), socket.subscribe(uint8(topics{i})); end
  end
end

function text = receive(socket)
  if is_octave()
    text = char(zmq_recv(socket, 1000000, 0));
  else
    text = native2unicode(typecast(socket.recv(0), 'uint8')', 'UTF-8');
  end
end

function disconnect(socket)
  if is_octave(), zmq_close(socket); else, socket.close(); end
end

function yes = is_octave()
  yes = exist('OCTAVE_VERSION', 'builtin') ~= 0;
end
