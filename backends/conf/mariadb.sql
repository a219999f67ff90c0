create user if not exists root@'%';
grant all on *.* to root@'%' with grant option;
